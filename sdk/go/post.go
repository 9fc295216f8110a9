package contextcore

// Posts the spool to the `/v1/ops` of a service where no helper can: neither a shared disk nor the binary is there. Flush and Close take
// the lane as a helper would, post what is on disk, and give it up. What was posted twice counts once, because each line keeps its number.
// A line leaves the spool only when the answer names it (settle.go).

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// The other side takes 1 MiB.
	bodyBytes    = 900 << 10
	answerBytes  = 1 << 20
	shortestWait = 200 * time.Millisecond
	longestWait  = 5 * time.Second
	postPeriod   = 10 * time.Second
)

// refused says that nothing was taken.
type refused struct {
	reason string
	// How long the service asked to wait.
	wait time.Duration
	// It will never be taken.
	final    bool
	tooLarge bool
}

func (r *refused) Error() string { return r.reason }

// postsItself says whether what goes to a service is posted by this process, because there is no helper that could.
func (s *spool) postsItself() bool {
	return s.destination != nil && s.destination.protocol == "ops" && os.Getenv("CONTEXTCORE_BIN") == ""
}

// post posts the lane. Without an error everything that this process wrote was taken.
func (s *spool) post(ctx context.Context) error {
	lane := &postedLane{path: s.path()}
	defer lane.release()
	if err := lane.take(ctx); err != nil {
		return err
	}
	err := s.postAll(ctx, lane)
	if err == nil && lane.withholds(s.positions()) {
		err = errors.New("the service takes no reports of the project with this token")
	}
	var why *refused
	if errors.As(err, &why) {
		where := s.destination.endpoint
		s.log.limited("post "+where, fmt.Sprintf("%s takes no reports: %s; they stay in the spool", where, why.reason))
	}
	return err
}

// sweep removes what was posted and is not written any more. What cannot be removed now is removed by whoever posts next.
func (s *spool) sweep() {
	lane := &postedLane{path: s.path()}
	defer lane.release()
	ctx, cancel := context.WithTimeout(context.Background(), shortestWait)
	defer cancel()
	if lane.take(ctx) == nil {
		lane.removePosted()
	}
}

func (s *spool) postAll(ctx context.Context, lane *postedLane) error {
	client, err := newPostClient()
	if err != nil {
		return err
	}
	wait := shortestWait
	for {
		batch, err := lane.nextBatch()
		if err != nil {
			return err
		}
		refusal := s.postBatch(ctx, client, batch.lines)
		if err := lane.store(batch); err != nil {
			return err
		}
		var why *refused
		if errors.As(refusal, &why) && !why.final && sleep(ctx, max(wait, why.wait)) {
			wait = min(wait*2, longestWait)
			continue
		}
		if refusal != nil {
			return refusal
		}
		wait = shortestWait
		if len(batch.lines) == 0 {
			lane.removePosted()
			return nil
		}
	}
}

// sleep waits; false if the context would end before.
func sleep(ctx context.Context, period time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= period {
		return false
	}
	timer := time.NewTimer(period)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// postBatch posts lines; more than the other side takes in halves.
func (s *spool) postBatch(ctx context.Context, client *http.Client, lines []*postedLine) error {
	if len(lines) == 0 {
		return nil
	}
	answer, err := s.request(ctx, client, postBody(lines))
	var why *refused
	if errors.As(err, &why) && why.tooLarge && len(lines) > 1 {
		middle := len(lines) / 2
		if err := s.postBatch(ctx, client, lines[:middle]); err != nil {
			return err
		}
		return s.postBatch(ctx, client, lines[middle:])
	}
	if err != nil {
		return err
	}
	return s.settle(answer, lines)
}

// postBody is when it is sent, and each writer's header before its lines.
func postBody(lines []*postedLine) []byte {
	body := appendObject(nil, object{{"v", int64(1)}, {"sent", time.Now().UTC().Format(millisecondForm)}})
	body = append(body, '\n')
	var last []byte
	for _, each := range lines {
		if !bytes.Equal(each.header, last) {
			body = append(append(body, each.header...), '\n')
		}
		last = each.header
		body = append(append(body, each.line...), '\n')
	}
	return body
}

func newPostClient() (*http.Client, error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DisableKeepAlives: true}
	if path := strings.TrimSpace(os.Getenv("OTEL_EXPORTER_OTLP_CERTIFICATE")); path != "" {
		authority, err := os.ReadFile(path)
		if err != nil {
			return nil, &refused{reason: err.Error(), final: true}
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(authority)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	// A token goes to the address that was given, and no other.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Transport: transport, CheckRedirect: stay, Timeout: postPeriod}, nil
}

func (s *spool) request(ctx context.Context, client *http.Client, body []byte) ([]byte, error) {
	address := strings.Replace(s.destination.endpoint, "+ops://", "://", 1)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, &refused{reason: err.Error(), final: true}
	}
	request.Header.Set("content-type", "application/x-ndjson")
	for name, value := range s.destination.headers {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, &refused{reason: err.Error()}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, answerBytes))
	if err != nil {
		return nil, &refused{reason: err.Error()}
	}
	if response.StatusCode != http.StatusOK {
		return nil, refusedWith(response, text)
	}
	return text, nil
}

func refusedWith(response *http.Response, text []byte) *refused {
	status := response.StatusCode
	isLater := status == http.StatusRequestTimeout || status == http.StatusTooEarly || status == http.StatusTooManyRequests || status >= 500
	asked, err := strconv.ParseFloat(response.Header.Get("retry-after"), 64)
	if err != nil || !(asked > 0) {
		asked = 0
	}
	detail, _, _ := strings.Cut(strings.TrimSpace(first(plain(string(text)), 300)), "\n")
	return &refused{
		reason:   strings.TrimSpace(fmt.Sprintf("HTTP %d %s", status, detail)),
		wait:     time.Duration(min(asked, 86_400) * float64(time.Second)),
		final:    !isLater,
		tooLarge: status == http.StatusRequestEntityTooLarge,
	}
}
