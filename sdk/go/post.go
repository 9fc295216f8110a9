package contextcore

import "context"

func (s *spool) postsItself() bool              { return false }
func (s *spool) post(ctx context.Context) error { return nil }
func (s *spool) sweep()                         {}
