package contextcore

// Values of attributes: one level of texts, numbers and booleans. Lists, maps and structures are JSON, other things text.

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Numbers up to here are exact in JSON; greater ones become texts.
const exact = 1 << 53

// scalar is a value as it is written; nil if there is none.
func scalar(value any) any {
	switch value := value.(type) {
	case nil:
		return nil
	case string:
		return plain(value)
	case bool:
		return value
	case int:
		return whole(int64(value))
	case float64:
		return finite(value)
	case time.Time:
		return writeMoment(value, func(string) {})
	}
	return unknownScalar(value)
}

// unknownScalar is the value of a type that is not ours, whose methods may panic.
func unknownScalar(value any) (found any) {
	defer func() {
		if recover() != nil {
			found = fmt.Sprintf("%T", value)
		}
	}()
	return reflected(reflect.ValueOf(value))
}

func whole(number int64) any {
	if number < -exact || number > exact {
		return strconv.FormatInt(number, 10)
	}
	return number
}

func finite(number float64) any {
	if math.IsNaN(number) || math.IsInf(number, 0) {
		return nil
	}
	return number
}

// More pointers than these are followed to a value by nobody but one that points to itself.
const mostPointers = 4

func reflected(value reflect.Value) any {
	for range mostPointers {
		if value.Kind() != reflect.Pointer || value.IsNil() || isText(value) {
			break
		}
		value = value.Elem()
	}
	if (value.Kind() == reflect.Pointer || value.Kind() == reflect.Interface) && value.IsNil() {
		return nil
	}
	if isText(value) {
		return plain(fmt.Sprint(value.Interface()))
	}
	if when, isTime := value.Interface().(time.Time); isTime {
		return scalar(when)
	}
	switch value.Kind() {
	case reflect.String:
		return plain(value.String())
	case reflect.Bool:
		return value.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return whole(value.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		if value.Uint() > exact {
			return strconv.FormatUint(value.Uint(), 10)
		}
		return int64(value.Uint())
	case reflect.Float32:
		// As it is written, and not with the digits that a conversion adds.
		number, _ := strconv.ParseFloat(strconv.FormatFloat(value.Float(), 'g', -1, 32), 64)
		return finite(number)
	case reflect.Float64:
		return finite(value.Float())
	case reflect.Slice, reflect.Array, reflect.Map, reflect.Struct:
		return asJSON(value.Interface())
	default:
		return fmt.Sprintf("%T", value.Interface())
	}
}

// isText says whether a value says itself how it is written.
func isText(value reflect.Value) bool {
	switch value.Interface().(type) {
	case time.Time, *time.Time:
		return false
	case error, fmt.Stringer, encoding.TextMarshaler:
		return true
	}
	return false
}

func asJSON(value any) any {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		// It may contain itself, so that fmt would not end.
		return fmt.Sprintf("%T", value)
	}
	return plain(strings.TrimSuffix(text.String(), "\n"))
}
