package web

import (
	"fmt"
	"html/template"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// asFloat gives the value of any number.
func asFloat(v any) (float64, bool) {
	switch x := reflect.ValueOf(v); x.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return float64(x.Int()), true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return float64(x.Uint()), true
	case reflect.Float32, reflect.Float64:
		return x.Float(), true
	default:
		return 0, false
	}
}

func formatArg(lang string, v any) string {
	switch x := v.(type) {
	case string:
		return x
	case template.HTML:
		return string(x)
	case time.Duration:
		return formatDuration(lang, x)
	case fmt.Stringer:
		return x.String()
	}
	if _, ok := asFloat(v); ok {
		return formatNumber(lang, v)
	}
	return fmt.Sprint(v)
}

// separators are those of thousands and of decimals.
func separators(lang string) (thousands, decimal string) {
	if lang == "de" {
		return ".", ","
	}
	return ",", "."
}

// formatNumber writes a number as the language does, with at most one decimal below 100 and none above.
func formatNumber(lang string, v any) string {
	f, ok := asFloat(v)
	if !ok {
		return fmt.Sprint(v)
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "–"
	}
	thousands, decimal := separators(lang)
	decimals := 0
	if f != math.Trunc(f) && math.Abs(f) < 100 {
		decimals = 1
	}
	whole, part, _ := strings.Cut(strconv.FormatFloat(math.Abs(f), 'f', decimals, 64), ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + thousands + whole[i:]
	}
	if part != "" && part != "0" {
		whole += decimal + part
	}
	if f < 0 && strings.Trim(whole, "0.,") != "" {
		whole = "−" + whole
	}
	return whole
}

// formatBytes writes a size in the largest unit that fits.
func formatBytes(lang string, v any) string {
	f, ok := asFloat(v)
	if !ok {
		return fmt.Sprint(v)
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for math.Abs(f) >= 1024 && i < len(units)-1 {
		f /= 1024
		i++
	}
	if math.Abs(f) >= 10 || i == 0 {
		f = math.Round(f)
	}
	return formatNumber(lang, f) + " " + units[i]
}

// formatDuration writes a duration in its one or two largest units.
func formatDuration(lang string, d time.Duration) string {
	names := map[string][]string{"en": {"d", "h", "min", "s", "ms"}, "de": {"Tg.", "Std.", "Min.", "Sek.", "ms"}}[lang]
	if names == nil {
		return d.String()
	}
	if d < 0 {
		return "−" + formatDuration(lang, -d)
	}
	if d < time.Second {
		return formatNumber(lang, d.Milliseconds()) + " " + names[4]
	}
	if d < 10*time.Second {
		return formatNumber(lang, math.Round(d.Seconds()*10)/10) + " " + names[3]
	}
	units := []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second}
	for i, unit := range units {
		if d < unit {
			continue
		}
		s := formatNumber(lang, int64(d/unit)) + " " + names[i]
		if i+1 < len(units) {
			if rest := d % unit / units[i+1]; rest > 0 && d/unit < 10 {
				s += " " + formatNumber(lang, int64(rest)) + " " + names[i+1]
			}
		}
		return s
	}
	return d.String()
}

// formatTime writes a moment to the second.
func formatTime(lang string, t time.Time) string {
	if lang == "de" {
		return t.Format("02.01.2006, 15:04:05")
	}
	return t.Format("2 Jan 2006, 15:04:05")
}

// formatAgo words how long ago t is, or how far ahead.
func (w *words) formatAgo(lang string, now, t time.Time) string {
	d := now.Sub(t)
	switch {
	case d < 0 && d > -2*time.Second, d >= 0 && d < 2*time.Second:
		return w.text(lang, "core.ago.now")
	case d < 0:
		return w.text(lang, "core.ago.in", roughly(lang, -d))
	}
	return w.text(lang, "core.ago.past", roughly(lang, d))
}

// roughly is a duration in its largest unit alone.
func roughly(lang string, d time.Duration) string {
	for _, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute} {
		if d >= unit {
			return formatDuration(lang, d.Truncate(unit))
		}
	}
	return formatDuration(lang, max(d.Truncate(time.Second), time.Second))
}
