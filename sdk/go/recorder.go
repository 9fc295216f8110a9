package contextcore

import (
	"slices"
	"sync"
)

// Operation is one report before it is written: its fields in the order of docs/SPOOL.md.
type Operation struct{ fields object }

// Name is what was done, such as `task.start`.
func (o *Operation) Name() string { return o.Text("op") }

// Text is a field that is a text; empty if there is none.
func (o *Operation) Text(name string) string {
	value, _ := o.fields.get(name)
	text, _ := value.(string)
	return text
}

// Has says whether a field is there.
func (o *Operation) Has(name string) bool {
	_, ok := o.fields.get(name)
	return ok
}

// Set changes a field to a text, a number or a boolean, or adds it. The name of the operation stays.
func (o *Operation) Set(name string, value any) {
	if name != "op" {
		o.fields = o.fields.with(name, scalar(value))
	}
}

// Delete removes a field. The name of the operation stays.
func (o *Operation) Delete(name string) {
	if name != "op" {
		o.fields = o.fields.without(name)
	}
}

// MarshalJSON gives the operation as it is written, without its number and time.
func (o *Operation) MarshalJSON() ([]byte, error) { return appendObject(nil, o.fields), nil }

// Recorder keeps operations in memory: see [WithRecorder].
type Recorder struct {
	mutex      sync.Mutex
	operations []*Operation
}

func (r *Recorder) add(fields object) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.operations = append(r.operations, &Operation{fields})
}

// Operations are those that were reported, in order.
func (r *Recorder) Operations() []*Operation {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return slices.Clone(r.operations)
}
