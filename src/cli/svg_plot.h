// Small plots as SVG text: lines, labelled points and grouped bars with axes, ticks and a legend. Series differ by
// colour and marker, so that they can be told apart without colour. Every plot has a title and a description for
// screen readers; colours are CSS variables (plot_style), which follow the reader's light or dark setting.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace paro::cli {

struct PlotPoint {
  double x = 0.0;
  double y = 0.0;     // not finite: left out, and the line breaks
  std::string label;  // beside the marker
};

struct PlotSeries {
  std::string name;
  std::vector<PlotPoint> points;
  bool dashed = false;
  int colour = -1;  // and marker; -1: the series' number
  bool in_legend = true;
};

struct PlotAxis {
  std::string label;
  bool logarithmic = false;  // values that are not positive are left out; a short range is drawn linearly
  bool from_zero = false;
  bool whole = false;         // ticks at whole numbers only
  std::vector<double> ticks;  // empty: chosen
};

struct LinePlot {
  std::string title;
  std::string description;
  PlotAxis x;
  PlotAxis y;
  std::vector<PlotSeries> series;
  bool connected = true;  // false: markers only
};
std::string line_plot(const LinePlot& plot);

struct BarSeries {
  std::string name;
  std::vector<double> values;  // one for each category; not finite: left out
};
struct BarPlot {
  std::string title;
  std::string description;
  std::vector<std::string> categories;
  std::string x_label;
  PlotAxis y;
  std::vector<BarSeries> series;
  bool values = false;  // written above the bars
};
std::string bar_plot(const BarPlot& plot);

/// The variables and classes that plots use, as CSS.
std::string plot_style();
/// A plot as a file of its own, with its style.
std::string standalone_svg(const std::string& svg);
/// Text for HTML and SVG.
std::string escape_markup(std::string_view text);

}  // namespace paro::cli
