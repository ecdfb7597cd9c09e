// Package figure draws publication-quality figures from plain numbers.
//
// A [Figure] is a grid of panels holding lines with interval bands, points
// with error bars, categorical bars and exact reference lines. A [Pipeline]
// is a box-and-arrow diagram laid out on a grid. Both render to SVG, to PNG
// and to a tidy CSV of exactly what was drawn.
//
// The look is the same everywhere: Okabe-Ito colours that survive colour
// blindness, each doubled by a dash pattern and a marker so that nothing
// depends on colour alone; labels beside the lines instead of a legend; no
// top or right spine; a light horizontal grid; a caption under the panels.
// Output bytes depend on the input alone.
package figure
