package contextcore

// JSON as every SDK writes it: without spaces, with characters that are not ASCII as they are, numbers as ECMAScript writes them.
// encoding/json escapes more (U+2028, invalid bytes), so that its lines would differ.

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// field is a name with a value: a string, float64, int64, bool, nil, []string, object or []object.
type field struct {
	name  string
	value any
}

// object is fields in the order in which they are written.
type object []field

func (o object) get(name string) (any, bool) {
	for _, each := range o {
		if each.name == name {
			return each.value, true
		}
	}
	return nil, false
}

// with sets a field where it is, or appends it.
func (o object) with(name string, value any) object {
	for index, each := range o {
		if each.name == name {
			o[index].value = value
			return o
		}
	}
	return append(o, field{name, value})
}

func (o object) without(name string) object {
	kept := o[:0]
	for _, each := range o {
		if each.name != name {
			kept = append(kept, each)
		}
	}
	return kept
}

func appendObject(line []byte, fields object) []byte {
	line = append(line, '{')
	for index, each := range fields {
		if index > 0 {
			line = append(line, ',')
		}
		line = appendText(line, each.name)
		line = append(line, ':')
		line = appendValue(line, each.value)
	}
	return append(line, '}')
}

func appendValue(line []byte, value any) []byte {
	switch value := value.(type) {
	case string:
		return appendText(line, value)
	case float64:
		return appendNumber(line, value)
	case int64:
		return strconv.AppendInt(line, value, 10)
	case bool:
		return strconv.AppendBool(line, value)
	case []string:
		return appendList(line, value, appendText)
	case object:
		return appendObject(line, value)
	case []object:
		return appendList(line, value, appendObject)
	default:
		return append(line, "null"...)
	}
}

func appendList[T any](line []byte, list []T, add func([]byte, T) []byte) []byte {
	line = append(line, '[')
	for index, each := range list {
		if index > 0 {
			line = append(line, ',')
		}
		line = add(line, each)
	}
	return append(line, ']')
}

const hexDigits = "0123456789abcdef"

var escapes = [utf8.RuneSelf]byte{'"': '"', '\\': '\\', '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't'}

// appendText writes a text; bytes that are no UTF-8 become U+FFFD.
func appendText(line []byte, text string) []byte {
	text = plain(text)
	line = append(line, '"')
	start := 0
	for index := range len(text) {
		c := text[index]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		line = append(line, text[start:index]...)
		start = index + 1
		if escapes[c] != 0 {
			line = append(line, '\\', escapes[c])
		} else {
			line = append(line, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	line = append(line, text[start:]...)
	return append(line, '"')
}

// appendNumber writes a finite number as `Number.prototype.toString` does.
func appendNumber(line []byte, number float64) []byte {
	if size := math.Abs(number); number == 0 || (size >= 1e-6 && size < 1e21) {
		return strconv.AppendFloat(line, number+0, 'f', -1, 64)
	}
	text := strconv.FormatFloat(number, 'e', -1, 64)
	return append(line, strings.NewReplacer("e-0", "e-", "e+0", "e+").Replace(text)...)
}

// plain is a text in valid UTF-8: each run of other bytes becomes U+FFFD.
func plain(text string) string {
	return strings.ToValidUTF8(text, "\uFFFD")
}
