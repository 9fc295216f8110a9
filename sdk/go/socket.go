package contextcore

// The socket of a helper or a service: one JSON object a line each way.

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

const socketPathBytes = 100

// ask puts one question to the socket in a lane's directory.
func ask(ctx context.Context, lane string, request []byte) ([]byte, error) {
	path := filepath.Join(lane, "engine.sock")
	if len(path) > socketPathBytes {
		directory, err := os.Open(lane)
		if err != nil {
			return nil, err
		}
		defer directory.Close()
		path = fmt.Sprintf("/proc/self/fd/%d/engine.sock", directory.Fd())
	}
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	stop := context.AfterFunc(ctx, func() { _ = connection.Close() })
	defer stop()
	if _, err = connection.Write(append(bytes.Clone(request), '\n')); err != nil {
		return nil, err
	}
	answer, err := bufio.NewReader(connection).ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("the helper gave no answer: %w", err)
	}
	return answer, nil
}
