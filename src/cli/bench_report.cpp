#include "cli/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace paro::cli {
namespace {

double gigabytes(int64_t bytes) { return static_cast<double>(bytes) * 1e-9; }

Json machine_json(const MachineLimits& machine) {
  return {{"read_gbps", machine.read_gb_per_s},
          {"gmacs", machine.int8_gmac_per_s},
          {"f32_gflops", machine.f32_gflop_per_s}};
}

Json profile_json(const SpeedPoint& point) {
  Json list = Json::array();
  for (const OpProfile& op : point.profile) {
    list.push_back({{"name", op.name},
                    {"calls", op.calls},
                    {"seconds", op.seconds},
                    {"bytes", op.work.bytes},
                    {"int8_macs", op.work.int8_macs},
                    {"f32_macs", op.work.f32_macs},
                    {"share_of_limit", share_of_limit(op.work, point.machine, op.seconds)},
                    {"share_of_time", op.seconds / point.profiled_seconds}});
  }
  return {{"seconds", point.profiled_seconds}, {"steps", point.measured}, {"operations", std::move(list)}};
}

int64_t total(const CoarseOpCounts& counts) { return std::accumulate(counts.begin(), counts.end(), int64_t{0}); }

Json default_bodies_json(const CoarseOpCounts& counts) {
  Json result = Json::object();
  for (size_t i = 0; i < counts.size(); ++i) result[std::string(kCoarseOpNames[i])] = counts[i];
  return result;
}

/// "default bodies: linears 0, attend 2, ..."
std::string default_bodies_text(const CoarseOpCounts& counts) {
  std::string list;
  for (size_t i = 0; i < counts.size(); ++i)
    list += fmt::format("{}{} {}", list.empty() ? "" : ", ", kCoarseOpNames[i], counts[i]);
  return fmt::format("\ndefault bodies: {}\n", list);
}

Json points_json(const std::vector<SpeedPoint>& points, const char* size) {
  Json list = Json::array();
  for (const SpeedPoint& point : points) {
    Json entry = {{size, point.size},
                  {"tokens_per_second", point.tokens_per_second},
                  {"ms", point.seconds * 1e3},
                  {"ms_least", point.least * 1e3},
                  {"ms_most", point.most * 1e3},
                  {"measured", point.measured},
                  {"share_of_limit", point.share_of_limit},
                  {"machine", machine_json(point.machine)}};
    if (!point.profile.empty()) entry["profile"] = profile_json(point);
    list.push_back(std::move(entry));
  }
  return list;
}

std::string points_text(const char* what, const std::vector<SpeedPoint>& points) {
  std::string text;
  for (const SpeedPoint& point : points) {
    text += fmt::format("{:<20}{:>12.2f}{:>12.2f}{:>10.2f}{:>10.2f}{:>10}{:>10.1f}%\n",
                        fmt::format("{}{}", what, point.size), point.tokens_per_second, point.seconds * 1e3,
                        point.least * 1e3, point.most * 1e3, point.measured, 100.0 * point.share_of_limit);
  }
  return text;
}

/// Means of one step: a prefill or a token.
std::string profile_text(const std::string& title, const SpeedPoint& point) {
  const auto steps = static_cast<double>(point.measured);
  std::string text = fmt::format("\n{:<22}{:>8}{:>11}{:>9}{:>10}{:>10}{:>11}\n", title, "calls", "ms", "of time",
                                 "GB/s", "Gmac/s", "of limit");
  double outside = point.profiled_seconds;
  for (const OpProfile& op : point.profile) {
    outside -= op.seconds;
    const auto rate = [&](int64_t amount, int digits) {
      return amount == 0 ? std::string("-")
                         : fmt::format("{:.{}f}", static_cast<double>(amount) / op.seconds * 1e-9, digits);
    };
    const double share = share_of_limit(op.work, point.machine, op.seconds);
    text += fmt::format(
        "  {:<20}{:>8.6g}{:>11.4f}{:>8.1f}%{:>10}{:>10}{:>11}\n", op.name, static_cast<double>(op.calls) / steps,
        op.seconds / steps * 1e3, 100.0 * op.seconds / point.profiled_seconds, rate(op.work.bytes, 2),
        rate(op.work.int8_macs + op.work.f32_macs, 1), share < 0.001 ? "-" : fmt::format("{:.1f}%", 100.0 * share));
  }
  text += fmt::format("  {:<20}{:>8}{:>11.4f}{:>8.1f}%\n", "(between them)", "", outside / steps * 1e3,
                      100.0 * outside / point.profiled_seconds);
  return text;
}

const SpeedPoint& largest(const std::vector<SpeedPoint>& points) {
  return *std::max_element(points.begin(), points.end(),
                           [](const SpeedPoint& a, const SpeedPoint& b) { return a.size < b.size; });
}

std::string left_out_text(const SpeedReport& report, int64_t context) {
  std::string list;
  for (const int64_t rows : report.left_out_rows) list += fmt::format("{}prefill {}", list.empty() ? "" : ", ", rows);
  for (const int64_t size : report.left_out_contexts)
    list += fmt::format("{}decode at {}", list.empty() ? "" : ", ", size);
  if (list.empty()) return "";
  return fmt::format("left out: {}; the model's context holds {}\n", list, context);
}

}  // namespace

std::string bench_text(const BenchSubject& subject, const SpeedReport& report) {
  const MemoryUse& memory = report.memory;
  std::string text = fmt::format(
      "{}\n{}, {} threads; reads {:.1f} GB/s, {:.0f} G int8 multiply-adds/s, {:.0f} GFLOP/s f32\n"
      "{:.3f} GB of weights a token, {:.1f} kB of KV cache a position, {} default bodies\n"
      "memory: {:.2f} GB now, {:.2f} GB at most; weights {:.2f} GB, KV cache {:.2f} GB: {:.2f} times these\n\n",
      subject.model, subject.isa, subject.threads, report.machine.read_gb_per_s, report.machine.int8_gmac_per_s,
      report.machine.f32_gflop_per_s, gigabytes(report.cost.weight_bytes),
      static_cast<double>(report.cost.kv_bytes) / 1e3, total(subject.default_bodies), gigabytes(memory.resident),
      gigabytes(memory.peak), gigabytes(memory.weights), gigabytes(memory.kv), memory.ratio());
  text += fmt::format("{:<20}{:>12}{:>12}{:>10}{:>10}{:>10}{:>11}\n", "", "tokens/s", "ms", "least", "most", "measured",
                      "of limit");
  text += points_text("prefill ", report.prefill);
  text += points_text("decode at ", report.decode);
  text += left_out_text(report, subject.context_length);
  const auto profiled = [](const SpeedPoint& point) { return !point.profile.empty(); };
  if (std::any_of(report.prefill.begin(), report.prefill.end(), profiled) ||
      std::any_of(report.decode.begin(), report.decode.end(), profiled))
    text += default_bodies_text(subject.default_bodies);
  // The others are in the JSON.
  if (!report.prefill.empty() && !report.prefill.front().profile.empty()) {
    const SpeedPoint& point = largest(report.prefill);
    text += profile_text(fmt::format("prefill {}", point.size), point);
  }
  if (!report.decode.empty() && !report.decode.front().profile.empty()) {
    const SpeedPoint& first = report.decode.front();
    text += profile_text(fmt::format("decode at {}", first.size), first);
    const SpeedPoint& last = largest(report.decode);
    if (last.size != first.size) text += profile_text(fmt::format("decode at {}", last.size), last);
  }
  return text;
}

Json bench_json(const BenchSubject& subject, const SpeedReport& report) {
  const MemoryUse& memory = report.memory;
  return {{"model", subject.model},
          {"device", "cpu"},
          {"isa", subject.isa},
          {"threads", subject.threads},
          {"activations", subject.activations},
          {"head_bits", subject.head_bits},
          {"kv_bits", subject.kv_bits},
          {"weights_bytes", report.cost.weight_bytes},
          {"kv_bytes_per_position", report.cost.kv_bytes},
          {"prefill", points_json(report.prefill, "rows")},
          {"decode", points_json(report.decode, "context")},
          {"left_out", {{"rows", report.left_out_rows}, {"contexts", report.left_out_contexts}}},
          {"context_length", subject.context_length},
          {"machine", machine_json(report.machine)},
          {"memory",
           {{"resident_bytes", memory.resident},
            {"peak_bytes", memory.peak},
            {"weights_bytes", memory.weights},
            {"kv_bytes", memory.kv},
            {"scratch_bytes", memory.scratch},
            {"ratio", memory.ratio()}}},
          {"default_bodies", total(subject.default_bodies)},
          {"default_bodies_by_operation", default_bodies_json(subject.default_bodies)}};
}

}  // namespace paro::cli
