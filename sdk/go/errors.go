package contextcore

import "errors"

var (
	// ErrInvalid is a value that cannot be recorded as it is: an empty id, an unknown type, a percentage of 140.
	ErrInvalid = errors.New("invalid report")
	// ErrSpoolUnavailable is a call that could not be written: no directory, a full disk, or the spool's limit.
	ErrSpoolUnavailable = errors.New("the spool cannot be written")
	// ErrNotAccepted is what Flush and Close return when the backend has not accepted everything in time. Everything is on disk then, and
	// is sent later.
	ErrNotAccepted = errors.New("not yet accepted by the backend")
)
