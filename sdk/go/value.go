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

func reflected(value reflect.Value) any {
	if (value.Kind() == reflect.Pointer || value.Kind() == reflect.Interface) && value.IsNil() {
		return nil
	}
	switch value.Interface().(type) {
	case error, fmt.Stringer, encoding.TextMarshaler:
		return plain(fmt.Sprint(value.Interface()))
	}
	switch value.Kind() {
	case reflect.Pointer:
		return scalar(value.Elem().Interface())
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
		return plain(fmt.Sprint(value.Interface()))
	}
}

func asJSON(value any) any {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return plain(fmt.Sprint(value))
	}
	return plain(strings.TrimSuffix(text.String(), "\n"))
}
