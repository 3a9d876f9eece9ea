#include "cli/svg_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace paro::cli {
namespace {

constexpr double kWidth = 720.0;
constexpr double kLeft = 74.0;
constexpr double kRight = 18.0;
constexpr double kPlotHeight = 260.0;
constexpr double kBottom = 52.0;
constexpr double kLegendRow = 20.0;
constexpr double kLetter = 6.6;      // width of a letter at 12 px, on the wide side
constexpr double kShortRange = 3.0;  // of a logarithmic axis: it would have hardly a tick
constexpr int kColours = 8;
constexpr const char* kDash = "6 4";

struct Scale {
  double low = 0.0;
  double high = 1.0;
  bool logarithmic = false;
  double from = 0.0;  // pixels
  double to = 1.0;
  std::vector<double> ticks;

  double at(double value) const {
    const double l = logarithmic ? std::log10(low) : low;
    const double h = logarithmic ? std::log10(high) : high;
    const double v = logarithmic ? std::log10(value) : value;
    return from + (v - l) / (h - l) * (to - from);
  }
  bool shows(double value) const { return std::isfinite(value) && (!logarithmic || value > 0.0); }
};

/// 1, 2 or 5 times a power of ten, so that about `count` steps cover the range.
double nice_step(double range, int count) {
  const double raw = range / count;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= raw * 0.999) return factor * power;
  return 10.0 * power;
}

void make_ticks(Scale& scale, const PlotAxis& axis) {
  if (!axis.ticks.empty()) {
    scale.ticks = axis.ticks;
    return;
  }
  if (!scale.logarithmic) {
    double step = nice_step(scale.high - scale.low, 5);
    if (axis.whole) step = std::max(1.0, std::round(step));
    for (double tick = std::ceil(scale.low / step - 1e-9) * step; tick <= scale.high + step * 1e-6; tick += step)
      scale.ticks.push_back(std::fabs(tick) < step * 1e-9 ? 0.0 : tick);
    return;
  }
  const double decades = std::log10(scale.high / scale.low);
  for (double power = std::floor(std::log10(scale.low)); power <= std::ceil(std::log10(scale.high)); ++power)
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor != 1.0 && decades > 2.5) continue;
      const double tick = factor * std::pow(10.0, power);
      if (tick >= scale.low * 0.999 && tick <= scale.high * 1.001) scale.ticks.push_back(tick);
    }
}

Scale make_scale(std::vector<double> values, const PlotAxis& axis, double from, double to) {
  Scale scale;
  scale.logarithmic = axis.logarithmic;
  scale.from = from;
  scale.to = to;
  std::erase_if(values, [&](double v) { return !scale.shows(v); });
  if (values.empty()) values = {axis.logarithmic ? 1.0 : 0.0, axis.logarithmic ? 10.0 : 1.0};
  scale.low = *std::min_element(values.begin(), values.end());
  scale.high = *std::max_element(values.begin(), values.end());
  if (scale.high < kShortRange * scale.low) scale.logarithmic = false;
  if (axis.from_zero && !scale.logarithmic) scale.low = std::min(0.0, scale.low);
  if (scale.logarithmic) {
    scale.low /= 1.15;
    scale.high *= 1.15;
  } else {
    const double range = scale.high - scale.low;
    const double margin = range > 0.0 ? 0.05 * range : std::max(std::fabs(scale.high) * 0.1, axis.whole ? 1.0 : 1e-9);
    if (!(axis.from_zero && scale.low == 0.0)) scale.low -= margin;
    scale.high += margin;
  }
  make_ticks(scale, axis);
  return scale;
}

std::string number_text(double value) {
  const double size = std::fabs(value);
  if (size != 0.0 && (size < 1e-3 || size >= 1e6)) {
    std::string text = fmt::format("{:.2g}", value);
    const size_t e = text.find('e');
    if (e == std::string::npos) return text;
    const int power = std::stoi(text.substr(e + 1));
    return fmt::format("{}e{}", text.substr(0, e), power);
  }
  return fmt::format("{:.4g}", value);
}

std::string marker(int series, double x, double y, int colour) {
  const std::string kind = fmt::format("class=\"fill{}\"", colour);
  switch (series % 4) {
    case 1: return fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"7\" height=\"7\" {}/>", x - 3.5, y - 3.5, kind);
    case 2: return fmt::format("<path d=\"M{:.1f} {:.1f}l4.5 8h-9z\" {}/>", x, y - 4.6, kind);
    case 3: return fmt::format("<path d=\"M{:.1f} {:.1f}l4.5 4.5 -4.5 4.5 -4.5 -4.5z\" {}/>", x, y - 4.5, kind);
    default: return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.6\" {}/>", x, y, kind);
  }
}

std::string text_at(double x, double y, const char* anchor, std::string_view text, const char* extra = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y, anchor, extra,
                     escape_markup(text));
}

/// At most `room` letters, whole UTF-8 characters.
std::string shortened(const std::string& text, size_t room) {
  if (text.size() <= room) return text;
  if (room < 4) return "";
  size_t end = room - 1;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end) + ".";
}

struct LegendEntry {
  std::string name;
  int series;
  int colour;
  bool bar;
  bool line;
  bool dashed;
};

std::string line_style(bool dashed, int colour) {
  return fmt::format("class=\"line{}\"{}", colour, dashed ? fmt::format(" stroke-dasharray=\"{}\"", kDash) : "");
}

/// Rows of entries above the plot; `height` becomes what they take.
std::string legend(const std::vector<LegendEntry>& entries, double top, double& height) {
  std::string svg;
  double x = kLeft;
  double y = top;
  for (const LegendEntry& e : entries) {
    const double width = 34.0 + kLetter * static_cast<double>(e.name.size()) + 14.0;
    if (x > kLeft && x + width > kWidth - kRight) {
      x = kLeft;
      y += kLegendRow;
    }
    if (e.bar) {
      svg += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"14\" height=\"10\" class=\"fill{}\"/>\n", x + 7,
                         y - 9, e.colour);
    } else {
      if (e.line) svg += fmt::format("<path d=\"M{:.1f} {:.1f}h26\" {}/>", x, y - 4, line_style(e.dashed, e.colour));
      svg += marker(e.series, x + 13, y - 4, e.colour) + "\n";
    }
    svg += text_at(x + 32, y, "start", e.name);
    x += width;
  }
  height = entries.empty() ? 0.0 : y - top + kLegendRow;
  return svg;
}

/// Frame, grid, ticks and labels.
std::string axes(const Scale* x, const Scale& y, const std::string& x_label, const std::string& y_label) {
  std::string svg;
  const double bottom = y.from;
  for (const double tick : y.ticks) {
    const double at = y.at(tick);
    svg += fmt::format("<path d=\"M{:.1f} {:.1f}H{:.1f}\" class=\"grid\"/>", kLeft, at, kWidth - kRight);
    svg += text_at(kLeft - 8, at + 4, "end", number_text(tick));
  }
  if (x != nullptr)
    for (const double tick : x->ticks) {
      const double at = x->at(tick);
      svg += fmt::format("<path d=\"M{:.1f} {:.1f}v5\" class=\"axis\"/>", at, bottom);
      svg += text_at(at, bottom + 18, "middle", number_text(tick));
    }
  svg +=
      fmt::format("<path d=\"M{:.1f} {:.1f}V{:.1f}H{:.1f}\" class=\"axis\"/>\n", kLeft, y.to, bottom, kWidth - kRight);
  svg += text_at((kLeft + kWidth - kRight) / 2, bottom + 40, "middle", x_label);
  const double middle = (y.from + y.to) / 2;
  svg += text_at(16, middle, "middle", y_label, fmt::format(" transform=\"rotate(-90 16 {:.1f})\"", middle).c_str());
  return svg;
}

std::string open_svg(const std::string& title, const std::string& description, double height) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0f} {:.0f}\" class=\"plot\" role=\"img\">\n"
      "<title>{}</title>\n<desc>{}</desc>\n",
      kWidth, height, escape_markup(title), escape_markup(description));
}

}  // namespace

std::string escape_markup(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&': result += "&amp;"; break;
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      case '"': result += "&quot;"; break;
      default: result += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return result;
}

std::string line_plot(const LinePlot& plot) {
  std::vector<LegendEntry> entries;
  std::vector<double> xs;
  std::vector<double> ys;
  for (size_t i = 0; i < plot.series.size(); ++i) {
    const PlotSeries& series = plot.series[i];
    const int number = series.colour < 0 ? static_cast<int>(i) : series.colour;
    const int colour = number % kColours;
    if (!series.name.empty() && series.in_legend)
      entries.push_back({series.name, number, colour, false, plot.connected, series.dashed});
    for (const PlotPoint& point : series.points) {
      if (!std::isfinite(point.y) || (plot.y.logarithmic && point.y <= 0.0)) continue;
      xs.push_back(point.x);
      ys.push_back(point.y);
    }
  }
  double legend_height = 0.0;
  const std::string keys = legend(entries, 16.0, legend_height);
  const double top = legend_height + 10.0;
  const double bottom = top + kPlotHeight;
  const Scale x = make_scale(std::move(xs), plot.x, kLeft, kWidth - kRight);
  const Scale y = make_scale(std::move(ys), plot.y, bottom, top);
  std::string svg =
      open_svg(plot.title, plot.description, bottom + kBottom) + keys + axes(&x, y, plot.x.label, plot.y.label);
  for (size_t i = 0; i < plot.series.size(); ++i) {
    const PlotSeries& series = plot.series[i];
    const int number = series.colour < 0 ? static_cast<int>(i) : series.colour;
    const int colour = number % kColours;
    std::string path;
    std::string marks;
    bool pen_down = false;
    for (const PlotPoint& point : series.points) {
      if (!x.shows(point.x) || !y.shows(point.y)) {
        pen_down = false;
        continue;
      }
      const double px = x.at(point.x);
      const double py = y.at(point.y);
      path += fmt::format("{}{:.1f} {:.1f}", pen_down ? "L" : "M", px, py);
      pen_down = true;
      // Many points: the line alone.
      if (series.points.size() <= 48 || !plot.connected) marks += marker(number, px, py, colour);
      if (!point.label.empty()) {
        const bool left = px > kWidth * 0.7;
        marks += text_at(px + (left ? -8 : 8), py - 6, left ? "end" : "start", point.label);
      }
    }
    if (plot.connected && !path.empty())
      svg += fmt::format("<path d=\"{}\" {}/>\n", path, line_style(series.dashed, colour));
    svg += marks + "\n";
  }
  return svg + "</svg>\n";
}

std::string bar_plot(const BarPlot& plot) {
  std::vector<LegendEntry> entries;
  std::vector<double> values;
  for (size_t i = 0; i < plot.series.size(); ++i) {
    if (!plot.series[i].name.empty())
      entries.push_back({plot.series[i].name, 0, static_cast<int>(i) % kColours, true, false, false});
    values.insert(values.end(), plot.series[i].values.begin(), plot.series[i].values.end());
  }
  double legend_height = 0.0;
  const std::string keys = legend(entries, 16.0, legend_height);
  const double top = legend_height + 10.0;
  const double bottom = top + kPlotHeight;
  const Scale y = make_scale(std::move(values), plot.y, bottom, top);
  std::string svg =
      open_svg(plot.title, plot.description, bottom + kBottom) + keys + axes(nullptr, y, plot.x_label, plot.y.label);
  const auto count = static_cast<double>(std::max<size_t>(1, plot.categories.size()));
  const double slot = (kWidth - kRight - kLeft) / count;
  const double bar = slot * 0.8 / static_cast<double>(std::max<size_t>(1, plot.series.size()));
  const double base = y.logarithmic ? bottom : y.at(std::max(0.0, y.low));
  for (size_t c = 0; c < plot.categories.size(); ++c) {
    const double left = kLeft + slot * (static_cast<double>(c) + 0.1);
    for (size_t s = 0; s < plot.series.size(); ++s) {
      const double value = plot.series[s].values[c];
      if (!y.shows(value)) continue;
      const double at = y.at(value);
      svg += fmt::format(
          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" class=\"fill{}\">"
          "<title>{}</title></rect>\n",
          left + bar * static_cast<double>(s), std::min(at, base), std::max(1.0, bar - 1.0),
          std::max(0.5, std::fabs(base - at)), s % kColours,
          escape_markup(fmt::format("{} {}: {}", plot.series[s].name, plot.categories[c], number_text(value))));
      if (plot.values)
        svg += text_at(left + bar * (static_cast<double>(s) + 0.5), at - 5, "middle", number_text(value));
    }
    // As many letters as the slot holds.
    const auto room = static_cast<size_t>(std::max(1.0, slot / kLetter));
    svg += text_at(left + slot * 0.4, bottom + 18, "middle", shortened(plot.categories[c], room));
  }
  return svg + "</svg>\n";
}

std::string plot_style() {
  // Okabe and Ito's colours, darkened or lightened for contrast with the ground.
  constexpr const char* kLight[kColours] = {"#0060a8", "#b04a00", "#00795a", "#a03070",
                                            "#6a3fb5", "#8a6d00", "#444444", "#c03030"};
  constexpr const char* kDark[kColours] = {"#6db6f2", "#f0953f", "#3fc49b", "#e08abb",
                                           "#b79cf5", "#e3c04a", "#bbbbbb", "#ff8a80"};
  const auto variables = [](const char* fg, const char* grid, const char* const* colours) {
    std::string text = fmt::format("--fg:{};--grid:{};", fg, grid);
    for (int i = 0; i < kColours; ++i) text += fmt::format("--c{}:{};", i, colours[i]);
    return text;
  };
  std::string css =
      fmt::format(":root{{color-scheme:light dark;{}}}\n@media (prefers-color-scheme:dark){{:root{{{}}}}}\n",
                  variables("#1a1a1a", "#d8d8d8", kLight), variables("#e8e8e8", "#444444", kDark));
  css +=
      ".plot{width:100%;height:auto;font:12px system-ui,sans-serif}\n.plot text{fill:var(--fg)}\n"
      ".plot .grid{stroke:var(--grid);fill:none}\n.plot .axis{stroke:var(--fg);fill:none}\n";
  for (int i = 0; i < kColours; ++i)
    css += fmt::format(
        ".plot .line{0}{{stroke:var(--c{0});fill:none;stroke-width:1.8}}\n.plot .fill{0}{{fill:var(--c{0})}}\n", i);
  return css;
}

std::string standalone_svg(const std::string& svg) {
  const size_t end = svg.find('>') + 1;
  return svg.substr(0, end) + "\n<style>" + plot_style() + "</style>" + svg.substr(end);
}

}  // namespace paro::cli
