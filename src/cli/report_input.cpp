#include "cli/report_input.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "base/error.h"

namespace paro::cli {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

/// An object of a document with its place, for typed access that says where it fails. Missing and null members are an
/// empty object or NaN.
class Node {
 public:
  Node(const Json& value, std::string place) : value_(value), place_(std::move(place)) {
    if (!value.is_object()) fail_input("{}: expected an object, found {}", place_, json_kind(value));
  }
  Node child(const char* key) const {
    static const Json kEmpty = Json::object();
    return Node(has(key) ? value_[key] : kEmpty, fmt::format("{}: \"{}\"", place_, key));
  }
  std::vector<Node> list(const char* key) const {
    std::vector<Node> nodes;
    if (!has(key)) return nodes;
    const Json& items = value_[key];
    if (!items.is_array()) fail_input("{}: \"{}\": expected a list, found {}", place_, key, json_kind(items));
    for (const Json& item : items) nodes.emplace_back(item, fmt::format("{}: \"{}\"[{}]", place_, key, nodes.size()));
    return nodes;
  }
  std::vector<double> numbers(const char* key) const {
    std::vector<double> result;
    if (!has(key)) return result;
    const Json& items = value_[key];
    if (!items.is_array()) fail_input("{}: \"{}\": expected a list, found {}", place_, key, json_kind(items));
    for (const Json& item : items) {
      if (!item.is_number()) fail_input("{}: \"{}\": expected numbers, found {}", place_, key, json_kind(item));
      result.push_back(item.get<double>());
    }
    return result;
  }
  double number(const char* key) const { return json_number(value_, key, kNone, place_); }
  std::string text(const char* key) const { return json_string(value_, key, "", place_); }
  bool has(const char* key) const {
    const auto found = value_.find(key);
    return found != value_.end() && !found->is_null();
  }
  const Json& json() const { return value_; }

 private:
  const Json& value_;
  std::string place_;
};

LinearFigures linear_of(const Node& node) {
  LinearFigures linear;
  linear.name = node.text("name");
  const Node loss = node.child("loss");
  for (size_t i = 0; i < kLossStages.size(); ++i) linear.loss[i] = loss.number(kLossStages[i]);
  const Node weights = node.child("weights");
  const char* const places[] = {"given", "before", "after"};
  for (size_t i = 0; i < 3; ++i) {
    linear.weight_peak[i] = weights.child(places[i]).number("peak_mean");
    linear.weight_kurtosis[i] = weights.child(places[i]).number("kurtosis");
  }
  const Node inputs = node.child("activations");
  linear.input_peak = {inputs.child("before").number("peak_in_groups"), inputs.child("after").number("peak_in_groups")};
  const Node angles = node.child("angles");
  linear.angle_mean = angles.number("mean");
  linear.angle_max = angles.number("max");
  linear.angle_bins = angles.numbers("histogram");
  const Node scales = node.child("scales");
  linear.scales = {scales.number("min"), scales.number("median"), scales.number("max")};
  linear.clipped = node.number("clipped");
  return linear;
}

QuantizeRun run_of(const Node& node, const std::string& file) {
  QuantizeRun run;
  run.file = file;
  run.output = node.text("output");
  run.settings = node.child("settings").json();
  for (const Node& layer : node.list("layers")) {
    LayerFigures figures;
    for (const Node& linear : layer.list("linears")) figures.linears.push_back(linear_of(linear));
    const Node errors = layer.child("errors");
    figures.error = errors.number("calibration");
    figures.held_out_error = errors.number("held_out");
    run.layers.push_back(std::move(figures));
  }
  for (const Node& sign : node.list("warnings"))
    run.signs.push_back({sign.text("sign"), sign.text("message"), sign.text("advice")});
  const Node quality = node.child("quality");
  run.kl = quality.child("calibration").number("kl");
  run.held_out_kl = quality.child("held_out").number("kl");
  run.perplexity_ratio = quality.child("held_out").number("perplexity_ratio");
  run.bytes = node.number("bytes");
  run.seconds = node.number("seconds");
  return run;
}

EvalRun eval_of(const Node& node, const std::string& file) {
  EvalRun eval;
  eval.file = file;
  eval.model = node.text("model");
  eval.teacher = node.text("teacher");
  for (const Json& text : node.json().value("text", Json::array()))
    if (text.is_string())
      eval.texts +=
          (eval.texts.empty() ? "" : ", ") + std::filesystem::path(text.get<std::string>()).filename().string();
  eval.perplexity = node.number("perplexity");
  eval.teacher_perplexity = node.number("teacher_perplexity");
  eval.ratio = node.number("perplexity_ratio");
  eval.kl = node.number("kl_mean");
  eval.kl_p99 = node.number("kl_p99");
  eval.top1 = node.number("top1_agreement");
  return eval;
}

BenchRun bench_of(const Node& node, const std::string& file) {
  BenchRun bench;
  bench.file = file;
  bench.model = node.text("model");
  bench.isa = node.text("isa");
  bench.weights_bytes = node.number("weights_bytes");
  bench.resident_bytes = node.child("memory").number("resident_bytes");
  for (const Node& point : node.list("prefill"))
    bench.prefill.push_back({point.number("rows"), point.number("tokens_per_second")});
  for (const Node& point : node.list("decode"))
    bench.decode.push_back({point.number("context"), point.number("tokens_per_second")});
  return bench;
}

std::string plain(const Json& value) { return value.is_string() ? value.get<std::string>() : dump_json(value); }

/// "K=8", "128 samples": short, as labels are.
std::string setting_label(const std::string& key, const Json& value) {
  const std::string text = plain(value).substr(0, 24);
  if (key == "rotations") return "K=" + text;
  if (key == "samples" || key == "sweeps") return text + " " + key;
  if (key == "group_size") return "g=" + text;
  return key + " " + text;
}

/// Each run by its method and the settings in which the runs differ.
void label_runs(std::vector<QuantizeRun>& runs) {
  std::map<std::string, std::set<std::string>> values;
  for (const QuantizeRun& run : runs)
    for (const auto& [key, value] : run.settings.items()) values[key].insert(plain(value));
  std::map<std::string, int> seen;
  for (QuantizeRun& run : runs) {
    run.label = run.settings.contains("method") ? plain(run.settings["method"]) : run.file;
    for (const auto& [key, value] : run.settings.items())
      if (key != "method" && values[key].size() > 1) run.label += ", " + setting_label(key, value);
    ++seen[run.label];
  }
  for (QuantizeRun& run : runs)
    if (seen[run.label] > 1) run.label += " (" + std::filesystem::path(run.file).stem().string() + ")";
}

}  // namespace

double QuantizeRun::mean_loss(size_t stage) const {
  double sum = 0.0;
  int64_t count = 0;
  for (const LayerFigures& layer : layers)
    for (const LinearFigures& linear : layer.linears) {
      if (!std::isfinite(linear.loss[stage])) continue;
      sum += linear.loss[stage];
      ++count;
    }
  return count > 0 ? sum / static_cast<double>(count) : kNone;
}

ReportInput read_results(const std::vector<std::string>& files) {
  ReportInput input;
  for (const std::string& file : files) {
    const Json document = read_json(file);
    const Node node(document, file);
    if (node.has("settings") && node.has("layers"))
      input.runs.push_back(run_of(node, file));
    else if (node.has("task"))
      input.evals.push_back(eval_of(node, file));
    else if (node.has("prefill") || node.has("decode"))
      input.benches.push_back(bench_of(node, file));
    else
      fail_input("{}: expected the JSON of `paro quantize --report`, `paro eval --json` or `paro bench --json`", file);
  }
  label_runs(input.runs);
  return input;
}

}  // namespace paro::cli
