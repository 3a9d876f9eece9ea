#include "cli/report_plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "cli/svg_plot.h"

namespace paro::cli {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

/// Mean over a layer's linears of what `value` finds; NaN ones do not count.
template <typename Value>
double layer_mean(const LayerFigures& layer, Value&& value) {
  double sum = 0.0;
  int64_t count = 0;
  for (const LinearFigures& linear : layer.linears) {
    const double v = value(linear);
    if (!std::isfinite(v)) continue;
    sum += v;
    ++count;
  }
  return count > 0 ? sum / static_cast<double>(count) : kNone;
}

template <typename Value>
PlotSeries by_layer(const QuantizeRun& run, std::string name, Value&& value) {
  PlotSeries series{std::move(name), {}};
  for (size_t layer = 0; layer < run.layers.size(); ++layer)
    series.points.push_back({static_cast<double>(layer), value(run.layers[layer])});
  return series;
}

bool shows_something(const PlotSeries& series, const PlotAxis& y) {
  return std::any_of(series.points.begin(), series.points.end(),
                     [&](const PlotPoint& p) { return std::isfinite(p.y) && (!y.logarithmic || p.y > 0.0); });
}

/// x in the first column, a column for each series.
ReportTable table_of(const LinePlot& plot) {
  ReportTable table;
  table.head.push_back(plot.x.label);
  std::map<double, std::vector<std::string>> rows;
  for (const PlotSeries& series : plot.series) table.head.push_back(series.name);
  for (size_t s = 0; s < plot.series.size(); ++s)
    for (const PlotPoint& point : plot.series[s].points) {
      auto& row = rows[point.x];
      row.resize(plot.series.size(), "-");
      row[s] = figure_text(point.y);
    }
  for (auto& [x, row] : rows) {
    row.insert(row.begin(), figure_text(x));
    table.rows.push_back(std::move(row));
  }
  return table;
}

class Figures {
 public:
  void add(const std::string& name, LinePlot plot, const std::string& note) {
    std::erase_if(plot.series, [&](const PlotSeries& series) { return !shows_something(series, plot.y); });
    if (plot.series.empty()) return;
    plot.description = note;
    figures.push_back({name, plot.title, note, line_plot(plot), table_of(plot)});
  }
  std::vector<ReportFigure> figures;
};

std::string measured(const Divergences& kl) { return fmt::format("Measured on {}.", kl.measured_on); }

std::string title_of(const QuantizeRun& run, const char* what) { return fmt::format("{}: {}", what, run.label); }

void add_losses(const QuantizeRun& run, size_t number, Figures& out) {
  LinePlot plot{.title = title_of(run, "Loss by stage"),
                .x = {.label = "layer", .whole = true},
                .y = {.label = "relative loss", .logarithmic = true}};
  for (size_t stage = 0; stage < kLossStages.size(); ++stage)
    plot.series.push_back(by_layer(run, kLossStageNames[stage], [&](const LayerFigures& layer) {
      return layer_mean(layer, [&](const LinearFigures& linear) { return linear.loss[stage]; });
    }));
  out.add(fmt::format("loss-{}", number), std::move(plot),
          "Squared error of the linears' outputs against the corrected target, over the target's energy; mean over a "
          "layer's linears, at the end of each stage.");
}

void add_stream_errors(const ReportInput& input, Figures& out) {
  LinePlot plot{.title = "Error of the residual stream",
                .x = {.label = "layer", .whole = true},
                .y = {.label = "|q - f|\xC2\xB2 / |f|\xC2\xB2", .logarithmic = true}};
  for (size_t i = 0; i < input.runs.size(); ++i) {
    const QuantizeRun& run = input.runs[i];
    plot.series.push_back(by_layer(run, run.label, [](const LayerFigures& layer) { return layer.error; }));
    plot.series.back().colour = static_cast<int>(i);
    plot.series.push_back(
        by_layer(run, run.label + ", held out", [](const LayerFigures& layer) { return layer.held_out_error; }));
    plot.series.back().colour = static_cast<int>(i);
    plot.series.back().dashed = true;
    plot.series.back().in_legend = false;
  }
  out.add("stream-error", std::move(plot),
          "Distance of the quantized hidden states from those of full precision behind each layer, mean over tokens; "
          "dashed: held-out text. Held-out text well above the calibration text means overfitting.");
}

void add_method_bars(const ReportInput& input, const Divergences& kl, std::vector<ReportFigure>& figures) {
  if (input.runs.size() < 2) return;
  BarPlot plot{.title = "Method against method",
               .categories = {""},
               .x_label = "",
               .y = {.label = "KL to full precision, nats", .from_zero = true},
               .series = {},
               .values = true};
  ReportTable table{{"run", "KL, nats"}, {}};
  bool any = false;
  for (size_t i = 0; i < input.runs.size(); ++i) {
    const double value = kl.of_run[i];
    any |= std::isfinite(value);
    plot.series.push_back({input.runs[i].label, {value}});
    table.rows.push_back({input.runs[i].label, figure_text(value)});
  }
  if (!any) return;
  const std::string note = "KL divergence of the whole model from full precision; lower is better. " + measured(kl);
  plot.description = note;
  figures.push_back({"methods", plot.title, note, bar_plot(plot), std::move(table)});
}

/// Runs that differ in one setting only, as one series each group.
void add_ablation(const ReportInput& input, const Divergences& divergences, const char* setting, const char* name,
                  const char* label, Figures& out) {
  struct Group {
    std::string name;
    std::map<double, double> kl;
    std::map<double, double> loss;
  };
  std::map<std::string, Group> groups;
  const bool of_rotations = std::string(setting) == "rotations";
  for (size_t i = 0; i < input.runs.size(); ++i) {
    const QuantizeRun& run = input.runs[i];
    if (!run.settings.contains(setting) || !run.settings[setting].is_number()) continue;
    Json rest = run.settings;
    const auto value = rest[setting].get<double>();
    rest.erase(setting);
    if (of_rotations) {
      // Without rounds there are no pairs to name, and gptq is paroquant without rounds, rotated nowhere else.
      if (rest.value("transform", "") == "online") rest.erase("transform");
      rest.erase("pairs");
      rest.erase("pair_fraction");
      rest.erase("share_rotations");
      rest.erase("format");  // of the same codes
      if (rest.value("method", Json()) == "gptq") rest["method"] = "paroquant";
    }
    Group& group = groups[dump_json(rest)];
    if (rest.contains("method") && rest["method"].is_string()) group.name = rest["method"].get<std::string>();
    group.kl[value] = divergences.of_run[i];
    group.loss[value] = run.mean_loss(3);
  }
  LinePlot plot{.title = fmt::format("{}: KL to full precision", name),
                .x = {.label = label, .logarithmic = !of_rotations, .whole = true},
                .y = {.label = "KL, nats", .from_zero = true}};
  LinePlot losses = plot;
  losses.title = fmt::format("{}: mean loss of the linears", name);
  losses.y = {.label = "relative loss", .from_zero = true};
  for (const auto& [key, group] : groups) {
    if (group.kl.size() < 2) continue;
    PlotSeries kl{group.name, {}};
    PlotSeries loss{group.name, {}};
    for (const auto& [x, y] : group.kl) kl.points.push_back({x, y});
    for (const auto& [x, y] : group.loss) loss.points.push_back({x, y});
    for (const PlotPoint& point : kl.points) plot.x.ticks.push_back(point.x);
    losses.x.ticks = plot.x.ticks;
    plot.series.push_back(std::move(kl));
    losses.series.push_back(std::move(loss));
  }
  const std::string file = of_rotations ? "ablation-rotations" : "ablation-samples";
  out.add(file, std::move(plot), fmt::format("Runs that differ in \"{}\" only. {}", setting, measured(divergences)));
  out.add(file + "-loss", std::move(losses),
          fmt::format("Runs that differ in \"{}\" only; the loss of what is written, mean over all linears.", setting));
}

void add_outliers(const QuantizeRun& run, size_t number, Figures& out) {
  LinePlot weights{.title = title_of(run, "Outliers of the weights"),
                   .x = {.label = "layer", .whole = true},
                   .y = {.label = "largest |w| over rms"}};
  const char* const names[] = {"given", "corrected, before the rotation", "after the rotation"};
  for (size_t i = 0; i < 3; ++i)
    weights.series.push_back(by_layer(run, names[i], [&](const LayerFigures& layer) {
      return layer_mean(layer, [&](const LinearFigures& linear) { return linear.weight_peak[i]; });
    }));
  out.add(
      fmt::format("weights-{}", number), std::move(weights),
      "Largest magnitude over the root mean square of a group of weights, mean over groups and linears. Evenly spread "
      "values have 1.73, normal ones about 2.4 (group of 64); lower rounds better.");
  LinePlot inputs{.title = title_of(run, "Outliers of the inputs"),
                  .x = {.label = "layer", .whole = true},
                  .y = {.label = "largest over mean energy", .logarithmic = true}};
  const char* const places[] = {"before the rotation", "after the rotation"};
  for (size_t i = 0; i < 2; ++i)
    inputs.series.push_back(by_layer(run, places[i], [&](const LayerFigures& layer) {
      return layer_mean(layer, [&](const LinearFigures& linear) { return linear.input_peak[i]; });
    }));
  out.add(fmt::format("inputs-{}", number), std::move(inputs),
          "Energy of the strongest channel of a group over the group's mean, mean over groups and linears.");
}

void add_angles(const QuantizeRun& run, size_t number, std::vector<ReportFigure>& figures) {
  std::vector<double> bins;
  for (const LayerFigures& layer : run.layers)
    for (const LinearFigures& linear : layer.linears) {
      bins.resize(std::max(bins.size(), linear.angle_bins.size()));
      for (size_t i = 0; i < linear.angle_bins.size(); ++i) bins[i] += linear.angle_bins[i];
    }
  double total = 0.0;
  for (const double count : bins) total += count;
  if (total == 0.0) return;
  BarPlot plot{.title = title_of(run, "Angles"),
               .categories = {},
               .x_label = "|angle|, degrees",
               .y = {.label = "share of the angles, %", .from_zero = true},
               .series = {{"", {}}}};
  ReportTable table{{"|angle|, degrees", "angles", "share, %"}, {}};
  const double width = 180.0 / static_cast<double>(bins.size());
  for (size_t i = 0; i < bins.size(); ++i) {
    const double from = width * static_cast<double>(i);
    plot.categories.push_back(fmt::format("{:.0f}", from));
    plot.series[0].values.push_back(100.0 * bins[i] / total);
    table.rows.push_back({fmt::format("{:.0f} to {:.0f}", from, from + width), fmt::format("{:.0f}", bins[i]),
                          figure_text(100.0 * bins[i] / total)});
  }
  const std::string note = "Sizes of all angles of rounds that are in use; a bar begins at its number of degrees.";
  plot.description = note;
  figures.push_back({fmt::format("angles-{}", number), plot.title, note, bar_plot(plot), std::move(table)});
}

void add_quality(const ReportInput& input, const Divergences& kl, Figures& out) {
  struct Kind {
    const char* file;
    const char* title;
    const char* label;
    double (*value)(const QuantizeRun&);
  };
  const Kind kinds[] = {
      {"quality-size", "Quality against size", "weights, MB", [](const QuantizeRun& run) { return run.bytes / 1e6; }},
      {"quality-time", "Quality against time", "time to quantize, s",
       [](const QuantizeRun& run) { return run.seconds; }}};
  for (const Kind& kind : kinds) {
    LinePlot plot{.title = kind.title,
                  .x = {.label = kind.label, .logarithmic = true},
                  .y = {.label = "KL, nats", .from_zero = true},
                  .connected = false};
    for (size_t i = 0; i < input.runs.size(); ++i) {
      const double x = kind.value(input.runs[i]);
      if (std::isfinite(x)) plot.series.push_back({input.runs[i].label, {{x, kl.of_run[i]}}});
    }
    out.add(kind.file, std::move(plot), "KL divergence from full precision. " + measured(kl));
  }
}

void add_speed(const ReportInput& input, Figures& out) {
  for (const bool decode : {true, false}) {
    LinePlot plot{.title = decode ? "Decoding" : "Prefill",
                  .x = {.label = decode ? "positions in the context" : "tokens at a time", .logarithmic = !decode},
                  .y = {.label = "tokens per second", .from_zero = true}};
    for (const BenchRun& bench : input.benches) {
      PlotSeries series{std::filesystem::path(bench.model).filename().string(), {}};
      for (const BenchPoint& point : decode ? bench.decode : bench.prefill)
        series.points.push_back({point.size, point.tokens_per_second});
      plot.series.push_back(std::move(series));
    }
    out.add(decode ? "decode" : "prefill", std::move(plot), "Measured by paro bench.");
  }
}

/// The same folder or file, as far as its name tells.
bool same_model(const std::string& a, const std::string& b) {
  const auto tidy = [](const std::string& text) {
    std::filesystem::path path = std::filesystem::absolute(text).lexically_normal();
    return path.has_filename() ? path : path.parent_path();
  };
  return !a.empty() && !b.empty() && tidy(a) == tidy(b);
}

}  // namespace

Divergences divergences_of(const ReportInput& input) {
  const size_t count = input.runs.size();
  std::map<std::pair<std::string, std::string>, std::vector<double>> by_text;  // text and teacher
  for (const EvalRun& eval : input.evals)
    for (size_t i = 0; i < count; ++i) {
      if (!std::isfinite(eval.kl) || !same_model(eval.model, input.runs[i].output)) continue;
      auto& values = by_text[{eval.texts, eval.teacher}];
      values.resize(count, kNone);
      values[i] = eval.kl;
    }
  Divergences best{"each run's held-out windows", {}};
  for (const QuantizeRun& run : input.runs) best.of_run.push_back(run.held_out_kl);
  size_t most = std::min<size_t>(2, count) - 1;
  for (auto& [text, values] : by_text) {
    const size_t known = count - static_cast<size_t>(std::count_if(values.begin(), values.end(),
                                                                   [](double v) { return !std::isfinite(v); }));
    if (known <= most) continue;
    most = known;
    best = {text.first, std::move(values)};
  }
  return best;
}

std::string figure_text(double value) { return std::isfinite(value) ? fmt::format("{:.4g}", value) : "-"; }

std::vector<ReportFigure> report_figures(const ReportInput& input) {
  Figures out;
  const Divergences kl = divergences_of(input);
  add_method_bars(input, kl, out.figures);
  add_quality(input, kl, out);
  add_ablation(input, kl, "rotations", "Rounds of rotations", "rounds K", out);
  add_ablation(input, kl, "samples", "Calibration samples", "samples", out);
  add_stream_errors(input, out);
  for (size_t i = 0; i < input.runs.size(); ++i) {
    add_losses(input.runs[i], i + 1, out);
    add_outliers(input.runs[i], i + 1, out);
    add_angles(input.runs[i], i + 1, out.figures);
  }
  add_speed(input, out);
  return std::move(out.figures);
}

}  // namespace paro::cli
