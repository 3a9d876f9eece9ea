#include "calib/work_folder.h"

#include <cstring>
#include <span>
#include <string_view>

#include "base/error.h"
#include "base/files.h"
#include "io/safetensors.h"
#include "quant/paro4/write_tensors.h"

namespace paro::calib {
namespace {

constexpr int64_t kMostFileBytes = int64_t{1} << 40;

Json report_of(const QuantizedLayer& layer) {
  Json sets = Json::array();
  for (const SetReport& set : layer.sets)
    sets.push_back({{"linears", set.linears},
                    {"rtn_loss", set.losses.rtn},
                    {"loss", set.losses.rounded},
                    {"fit", set.losses.fit},
                    {"lost_angles", set.losses.lost_angles}});
  Json linears = Json::array();
  for (const NamedWeight& named : layer.weights)
    linears.push_back({{"name", named.name},
                       {"out", named.weight.out},
                       {"in", named.weight.in},
                       {"bits", named.weight.bits},
                       {"bias", !named.weight.bias.empty()}});
  for (const SetReport& set : layer.sets)
    for (size_t i = 0; i < set.measures.size(); ++i)
      for (Json& linear : linears)
        if (linear["name"] == set.linears[i]) linear.update(set.measures[i].json());
  Json replaced = Json::array();
  for (const ReplacedTensor& tensor : layer.replaced) replaced.push_back(tensor.name);
  return {{"sets", sets},       {"linears", linears},     {"replaced", replaced},
          {"kept", layer.kept}, {"errors", layer.errors}, {"seconds", layer.seconds}};
}

}  // namespace

WorkFolder::WorkFolder(const std::filesystem::path& output, const Json& settings, bool resume,
                       const QuantizationConfig& quantization)
    : folder_(output / ".paro-work"),
      quantization_(quantization),
      format_(require_format(quantization.method, "--format")) {
  if (std::filesystem::exists(output / "config.json"))
    fail_input("{}: already holds a checkpoint (config.json); choose another folder or remove it", output.string());
  const std::filesystem::path settings_file = folder_ / "settings.json";
  if (std::filesystem::exists(settings_file)) {
    if (!resume)
      fail_input("{}: holds an unfinished run; go on with --resume, or remove {}", output.string(), folder_.string());
    const Json before = read_json(settings_file);
    for (const auto& [key, value] : settings.items())
      if (!before.contains(key) || before[key] != value)
        fail_input("{}: \"{}\" was {} in the unfinished run, expected {}; use the same flags, or remove {}",
                   settings_file.string(), key, before.contains(key) ? dump_json(before[key]) : "absent",
                   dump_json(value), folder_.string());
    return;
  }
  make_writable_folder(output);
  make_writable_folder(folder_);
  write_file(settings_file, dump_json(settings, 2));
}

void WorkFolder::share(Processes& processes, const std::vector<std::string>& names) const {
  if (processes.size() == 1) return;
  const bool first = processes.rank() == 0;
  for (const std::string& name : names) {
    std::vector<std::byte> there = {std::byte{first && std::filesystem::exists(file(name))}};
    processes.broadcast(there);
    if (there[0] == std::byte{0}) {
      std::filesystem::remove(file(name));
      continue;
    }
    std::string text;
    if (first) text = read_file(file(name), kMostFileBytes);
    const auto whole = std::as_bytes(std::span(text));
    std::vector<std::byte> sent(whole.begin(), whole.end());
    processes.broadcast(sent);
    if (!first) write_file(file(name), {reinterpret_cast<const char*>(sent.data()), sent.size()});
  }
}

std::vector<std::string> WorkFolder::calibration_files() { return {"calibration.json", "ids.i32"}; }

std::vector<std::string> WorkFolder::layer_files(int64_t index) {
  const std::string name = fmt::format("layer-{:05}", index);
  return {name + ".safetensors", name + ".json"};
}

std::optional<CalibrationDraw> WorkFolder::load_calibration(const CalibrationAmount& amount) const {
  const std::filesystem::path file = folder_ / "ids.i32";
  if (!std::filesystem::exists(file)) return std::nullopt;
  const std::filesystem::path notes = folder_ / "calibration.json";
  const Json json = read_json(notes);
  CalibrationDraw draw;
  draw.held_out = json_int(json, "held_out", notes.string());
  if (draw.held_out < 0 || draw.held_out > amount.held_out)
    fail_input("{}: \"held_out\": expected 0 to {}, found {}", notes.string(), amount.held_out, draw.held_out);
  draw.files = json.value("files", Json::array());
  const int64_t count = (amount.samples + amount.added + draw.held_out) * amount.seq_len;
  const std::string bytes = read_file(file);
  if (static_cast<int64_t>(bytes.size()) != count * 4)
    fail_input("{}: expected {} bytes, found {}", file.string(), count * 4, bytes.size());
  draw.ids.resize(static_cast<size_t>(count));
  std::memcpy(draw.ids.data(), bytes.data(), bytes.size());
  return draw;
}

void WorkFolder::save_calibration(const CalibrationDraw& draw) const {
  write_file(folder_ / "calibration.json", dump_json({{"held_out", draw.held_out}, {"files", draw.files}}, 2));
  // Last: it is what tells that the draw is complete.
  write_file(folder_ / "ids.i32", {reinterpret_cast<const char*>(draw.ids.data()), draw.ids.size() * sizeof(int32_t)});
}

std::filesystem::path WorkFolder::layer_file(int64_t index) const {
  return file(tuned_.contains(index) ? fmt::format("tuned-{:05}.safetensors", index) : layer_files(index).front());
}

bool WorkFolder::has_layer(int64_t index) const {
  // The report is written after the tensors: it marks the layer as finished.
  return std::filesystem::exists(report_file(index));
}

std::filesystem::path WorkFolder::report_file(int64_t index) const { return file(layer_files(index).back()); }

void WorkFolder::write_layer(const std::filesystem::path& file, const QuantizedLayer& layer) const {
  std::vector<TensorToWrite> tensors;
  for (const NamedWeight& named : layer.weights)
    for (TensorToWrite& tensor : format_.tensors(named.name, named.weight, quantization_))
      tensors.push_back(std::move(tensor));
  for (const ReplacedTensor& replaced : layer.replaced)
    tensors.push_back(
        made_tensor(replaced.name, DType::kF16, replaced.shape, [values = replaced.values] { return to_f16(values); }));
  if (!tensors.empty()) write_safetensors(file, tensors);
}

void WorkFolder::save_layer(int64_t index, const QuantizedLayer& layer) const {
  write_layer(layer_file(index), layer);
  write_file(report_file(index), dump_json(report_of(layer), 2));
}

void WorkFolder::save_tuned_layer(int64_t index, const QuantizedLayer& layer) {
  tuned_.insert(index);
  write_layer(layer_file(index), layer);
}

Json WorkFolder::layer_report(int64_t index) const { return read_json(report_file(index)); }

QuantizedLayer WorkFolder::load_layer(int64_t index) const {
  const std::string place = report_file(index).string();
  const Json report = layer_report(index);
  QuantizedLayer layer;
  if (!report.contains("linears") || report["linears"].empty()) return layer;
  const auto file = SafetensorsFile::open(layer_file(index));
  for (const Json& linear : report["linears"]) {
    const std::string name = json_string(linear, "name", place);
    QuantizationConfig quantization = quantization_;
    quantization.bits = json_int(linear, "bits", place);
    layer.weights.push_back(
        {name, format_.read({*file, name, json_int(linear, "out", place), json_int(linear, "in", place),
                             json_bool(linear, "bias", false, place), quantization})});
  }
  for (const Json& name : report["replaced"]) layer.replaced.push_back(load_replaced(*file, name.get<std::string>()));
  return layer;
}

void WorkFolder::finish() const {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

}  // namespace paro::calib
