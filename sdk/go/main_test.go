package contextcore

import (
	"log/slog"
	"testing"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// quiet is a client whose warnings nobody reads.
func quiet() Option { return WithLogger(slog.New(slog.DiscardHandler)) }

func TestMain(m *testing.M) { m.Run() }
