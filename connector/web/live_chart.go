package web

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// The size of a chart in its own units. Text in it is 11 units high, so that it stays readable on a phone, where a unit is about a pixel.
const (
	chartWidth  = 340
	chartHeight = 150
	chartLeft   = 46
	chartRight  = 8
	chartTop    = 12
	chartBottom = 22
	chartRows   = 16 // of the table behind it, at most
)

// scale is how a chart's values grow: which steps of its axis a person finds round.
type scale int

const (
	scaleCount scale = iota
	scaleBytes
	scaleSeconds
	scaleShare // from 0 to 1
)

// chart is what a person reads as lines over time; any page may draw one with {{template "chart" .}}. Values that are not known are NaN and leave a gap.
type chart struct {
	ID    string
	Title string
	Note  string // a sentence under the title, or empty
	Lines []chartLine
	Start time.Time // of the first value
	Step  time.Duration
	Scale scale
	Label func(v float64) string   // words a value, for the axis and the table
	Clock func(t time.Time) string // words a moment of the axis
	Marks []chartMark
}

// chartLine is one line of a chart.
type chartLine struct {
	Name   string
	Values []float64
	Area   bool // filled down to the axis
}

// chartMark is an event on the time axis.
type chartMark struct {
	At   time.Time
	Text string
}

// drawing is a chart as its template draws it: only numbers and words, no markup.
type drawing struct {
	ID, Title, Note string
	Lines           []drawnLine
	Grid            []drawnTick
	Times           []drawnTick
	Marks           []drawnMark
	Rows            []drawnRow
	Empty           bool
	Width, Height   int
	Left, End       int // of the axis of time
	Top, Base       int
}

type drawnLine struct {
	Name string
	N    int // 1 is the first; the style sheet gives each number its own colour and pattern
	Path string
	Area string
	Last string
}

type drawnTick struct {
	At   string // coordinate
	Text string
	Edge string // class of the text's anchor
}

type drawnMark struct{ X, Text, Time string }

type drawnRow struct {
	Time  time.Time
	Clock string
	Cells []string
}

// draw lays a chart out.
func (c *chart) draw() drawing {
	d := drawing{ID: c.ID, Title: c.Title, Note: c.Note, Empty: true, Width: chartWidth, Height: chartHeight, Left: chartLeft, End: chartWidth - chartRight, Top: chartTop,
		Base: chartHeight - chartBottom}
	n, top := 0, 0.0
	for i := range c.Lines {
		n = max(n, len(c.Lines[i].Values))
		for _, v := range c.Lines[i].Values {
			if !math.IsNaN(v) {
				top, d.Empty = max(top, v), false
			}
		}
	}
	step, lines := axis(c.Scale, top)
	top = step * float64(lines)
	for i := 0; i <= lines; i++ {
		v := step * float64(i)
		d.Grid = append(d.Grid, drawnTick{At: coordinate(c.y(v, top)), Text: c.Label(v)})
	}
	for i := range c.Lines {
		l := &c.Lines[i]
		path, area := c.path(l.Values, n, top)
		if !l.Area {
			area = ""
		}
		last := dash
		if k := len(l.Values); k > 0 && !math.IsNaN(l.Values[k-1]) {
			last = c.Label(l.Values[k-1])
		}
		d.Lines = append(d.Lines, drawnLine{Name: l.Name, N: i + 1, Path: path, Area: area, Last: last})
	}
	c.times(&d, n)
	c.rows(&d, n)
	return d
}

func (c *chart) x(i float64, n int) float64 {
	if n < 2 {
		return chartLeft
	}
	return chartLeft + i/float64(n-1)*(chartWidth-chartLeft-chartRight)
}

func (c *chart) y(v, top float64) float64 {
	const base = chartHeight - chartBottom
	return base - min(v/top, 1)*(base-chartTop)
}

func coordinate(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// path gives a line, with a new beginning behind each gap, and the area under it.
func (c *chart) path(values []float64, n int, top float64) (line, area string) {
	const base = chartHeight - chartBottom
	var l, a strings.Builder
	open, last := false, ""
	for i, v := range values {
		if math.IsNaN(v) {
			if open {
				a.WriteString("V" + strconv.Itoa(base) + "Z")
			}
			open = false
			continue
		}
		x, y := coordinate(c.x(float64(i), n)), coordinate(c.y(v, top))
		switch {
		case !open:
			l.WriteString("M" + x + " " + y)
			a.WriteString("M" + x + " " + strconv.Itoa(base) + "V" + y)
			if i+1 == len(values) || math.IsNaN(values[i+1]) {
				l.WriteString("h1") // a single value is a dot
			}
		case y == last && i+1 < len(values) && c.flat(values, i, top):
			continue // in the middle of a level stretch
		default:
			l.WriteString("L" + x + " " + y)
			a.WriteString("L" + x + " " + y)
		}
		open, last = true, y
	}
	if open {
		a.WriteString("V" + strconv.Itoa(base) + "Z")
	}
	return l.String(), a.String()
}

// flat tells whether the next value is on the same level.
func (c *chart) flat(values []float64, i int, top float64) bool {
	next := values[i+1]
	return !math.IsNaN(next) && coordinate(c.y(next, top)) == coordinate(c.y(values[i], top))
}

// times lays out the axis of time and the marks on it.
func (c *chart) times(d *drawing, n int) {
	if n < 2 {
		return
	}
	const ticks = 3
	for i := range ticks + 1 {
		at := float64(n-1) * float64(i) / ticks
		edge := "middle"
		switch i {
		case 0:
			edge = "start"
		case ticks:
			edge = "end"
		}
		d.Times = append(d.Times, drawnTick{At: coordinate(c.x(at, n)), Text: c.Clock(c.Start.Add(time.Duration(at * float64(c.Step)))), Edge: edge})
	}
	end := c.Start.Add(time.Duration(n-1) * c.Step)
	for _, m := range c.Marks {
		if m.At.Before(c.Start) || m.At.After(end.Add(c.Step)) {
			continue
		}
		at := min(float64(m.At.Sub(c.Start))/float64(c.Step), float64(n-1))
		d.Marks = append(d.Marks, drawnMark{X: coordinate(c.x(at, n)), Text: m.Text, Time: c.Clock(m.At)})
	}
}

// rows makes the table behind the chart: the mean of each stretch of time of which something is known, the newest first.
func (c *chart) rows(d *drawing, n int) {
	if n == 0 || d.Empty {
		return
	}
	each := (n + chartRows - 1) / chartRows
	for from := (n - 1) / each * each; from >= 0; from -= each {
		at := c.Start.Add(time.Duration(from) * c.Step)
		row, known := drawnRow{Time: at, Clock: c.Clock(at)}, false
		for i := range c.Lines {
			cell := c.meanOf(c.Lines[i].Values, from, each)
			known = known || cell != dash
			row.Cells = append(row.Cells, cell)
		}
		if known {
			d.Rows = append(d.Rows, row)
		}
	}
}

func (c *chart) meanOf(values []float64, from, each int) string {
	total, n := 0.0, 0
	for i := from; i < min(from+each, len(values)); i++ {
		if !math.IsNaN(values[i]) {
			total += values[i]
			n++
		}
	}
	if n == 0 {
		return dash
	}
	return c.Label(total / float64(n))
}

// axis gives the distance of the grid's lines and their number, so that the highest value fits and each line stands at a round value.
func axis(s scale, top float64) (step float64, lines int) {
	if s == scaleShare {
		return .5, 2
	}
	unit := 1.0
	switch s {
	case scaleBytes:
		for unit = 1024; top >= unit*1024; {
			unit *= 1024
		}
	case scaleSeconds:
		for _, step := range []float64{.01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 6 * 3600, 12 * 3600, 24 * 3600} {
			if top <= 2*step {
				return step, 2
			}
		}
		unit = 24 * 3600
	}
	for e := 0; ; e++ {
		for _, m := range []float64{1, 2, 5} {
			if step = m * unit * math.Pow(10, float64(e)); top <= 2*step || e > 30 {
				return step, 2
			}
		}
	}
}
