#include "calib/target_bits.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "calib/allocate.h"
#include "calib/layer_quantizer.h"
#include "calib/sensitivity.h"

namespace paro::calib {
namespace {

constexpr size_t kShown = 10;  // linears in the model card

double table_bits(int64_t bits, int64_t in) {
  return bits == 8 ? 8.0 + 16.0 / static_cast<double>(in) : 4.0 + (16.0 + 4.0) / static_cast<double>(kRoundedInt4Group);
}

FixedBits fixed_bits(const ModelConfig& config, const std::vector<LinearOutline>& linears, const EndBits& ends,
                     const LinearBits& bits, int64_t group_size) {
  FixedBits fixed;
  const auto add = [&](double weights, double width) {
    fixed.weights += weights;
    fixed.bits += weights * width;
  };
  for (const LinearOutline& linear : linears)
    if (!bits.is_free(linear.name) && !bits.skipped(linear.name))
      add(static_cast<double>(linear.weights()), bits_per_weight(bits(linear.name), group_size));
  const auto table = static_cast<double>(config.vocab_size * config.dim);
  if (ends.embedding < 16) add(table, table_bits(ends.embedding, config.dim));
  if (ends.head < 16 && !config.tied_embeddings) add(table, table_bits(ends.head, config.dim));
  return fixed;
}

Json by_width(const std::map<int64_t, double>& losses) {
  Json result = Json::object();
  for (const auto& [bits, loss] : losses) result[std::to_string(bits)] = loss;
  return result;
}

}  // namespace

void check_target_bits(const QuantizeOptions& options, const ModelConfig& config,
                       const std::vector<LinearOutline>& linears, const EndBits& ends, const LinearBits& bits) {
  std::vector<AllocationItem> items;
  for (const LinearOutline& linear : linears) {
    if (!bits.is_free(linear.name)) continue;
    items.push_back({linear.name, linear.weights(), {}});
    for (const int64_t width : kAllocatedWidths)
      if (linear.out % outputs_multiple(width) == 0) items.back().loss[width] = -static_cast<double>(width);
  }
  allocate_bits(items, *options.target_bits, options.group_size,
                fixed_bits(config, linears, ends, bits, options.group_size));
}

Json apply_target_bits(const QuantizeOptions& options, const ModelConfig& config, const WeightSource& source,
                       const EndBits& ends, const std::vector<int32_t>& ids, int64_t seq_len, Device& device,
                       const WorkFolder& work, LinearBits& bits) {
  const std::filesystem::path file = work.file(kAllocationFile);
  const auto use = [&](const Json& report) {
    std::map<std::string, int64_t> widths;
    for (const Json& linear : report["linears"])
      widths[json_string(linear, "name", file.string())] = json_int(linear, "bits", file.string());
    bits.allocate(std::move(widths));
    return report;
  };
  if (std::filesystem::exists(file)) return use(read_json(file));

  const std::vector<LinearOutline> linears = outline_linears(config, source);
  const auto is_free = [&](const std::string& name) { return bits.is_free(name); };
  int64_t weights = 0;
  for (const LinearOutline& linear : linears) weights += linear.weights();
  // The whole model in f32, and a byte of each weight.
  if (!device.can_keep(5 * weights))
    fail_limit("--target-bits needs about {} GB of memory here: the whole model in f32",
               5 * weights / 1'000'000'000 + 1);
  const std::vector<LinearSensitivity> found =
      measure_sensitivity(options, config, source, ids, seq_len, is_free, device, [&] {
        if (options.cancel != nullptr && options.cancel->load()) throw Cancelled{};
      });
  std::vector<AllocationItem> items;
  for (const LinearSensitivity& linear : found)
    items.push_back({linear.linear.name, linear.linear.weights(), losses_of(linear)});
  const FixedBits fixed = fixed_bits(config, linears, ends, bits, options.group_size);
  const std::map<std::string, int64_t> widths = allocate_bits(items, *options.target_bits, options.group_size, fixed);

  double predicted = 0.0;
  std::map<int64_t, double> uniform;
  std::map<int64_t, size_t> measured_widths;
  Json report = {{"target_bits", *options.target_bits},
                 {"bits_per_weight", average_bits(items, widths, options.group_size, fixed)},
                 {"linears", Json::array()}};
  for (const AllocationItem& item : items) {
    predicted += item.loss.at(widths.at(item.name));
    for (const auto& [width, loss] : item.loss) {
      uniform[width] += loss;
      measured_widths[width] += 1;
    }
    report["linears"].push_back({{"name", item.name}, {"bits", widths.at(item.name)}, {"loss", by_width(item.loss)}});
  }
  std::erase_if(uniform, [&](const auto& entry) { return measured_widths[entry.first] != items.size(); });
  report["predicted"] = predicted;
  report["predicted_uniform"] = by_width(uniform);
  write_file(file, dump_json(report, 2));
  log_info("--target-bits {}: {:.4f} bits a weight; expected loss {:.4g} (each linear alone, added up)",
           *options.target_bits, report["bits_per_weight"].get<double>(), predicted);
  return use(report);
}

std::string target_bits_text(const Json& report) {
  std::map<int64_t, int64_t> counts;
  std::vector<const Json*> linears;
  for (const Json& linear : report["linears"]) {
    counts[linear["bits"].get<int64_t>()] += 1;
    linears.push_back(&linear);
  }
  std::string widths;
  for (const auto& [bits, count] : counts)
    widths += fmt::format("{}{} linears with {} bits", widths.empty() ? "" : ", ", count, bits);
  std::string text = fmt::format(
      "\n## Bits of the linears\n\n{:.3f} bits a weight (target {}), scales and zero points included: {}. Expected "
      "loss, mean KL of the logits in nats with each linear alone rounded, added up: {:.4g}",
      report["bits_per_weight"].get<double>(), report["target_bits"].get<double>(), widths,
      report["predicted"].get<double>());
  for (const auto& [bits, loss] : report["predicted_uniform"].items())
    text += fmt::format("; all with {} bits: {:.4g}", bits, loss.get<double>());
  text +=
      ".\n\nThe most sensitive linears, by their loss at the smallest width:\n\n| linear | bits | loss | at the "
      "smallest |\n"
      "|---|---|---|---|\n";
  const auto worst = [](const Json& linear) { return linear["loss"].begin()->get<double>(); };
  std::stable_sort(linears.begin(), linears.end(), [&](auto* a, auto* b) { return worst(*a) > worst(*b); });
  for (size_t i = 0; i < std::min(kShown, linears.size()); ++i) {
    const Json& linear = *linears[i];
    const int64_t bits = linear["bits"].get<int64_t>();
    text += fmt::format("| {} | {} | {:.2e} | {:.2e} |\n", linear["name"].get<std::string>(), bits,
                        linear["loss"][std::to_string(bits)].get<double>(), worst(linear));
  }
  return text;
}

}  // namespace paro::calib
