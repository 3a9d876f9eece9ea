#include "calib/calibration_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "calib/numeric/random.h"
#include "io/chat_template/render_chat.h"
#include "io/text_documents.h"

namespace paro::calib {
namespace {

// Streams of random numbers: windows of file i take i + 1, the order of all windows 0.
constexpr uint64_t kDocumentOrder = 1;

struct FileWindows {
  int64_t documents = 0;
  std::vector<int32_t> ids;
  std::vector<int64_t> order;  // its windows, shuffled
  int64_t drawn = 0;           // the first of them

  int64_t left() const { return std::ssize(order) - drawn; }
};

FileWindows read_windows(const Tokenizer& tokenizer, const RenderMessages& render, const CalibrationFile& file,
                         size_t index, const CalibrationAmount& amount, uint64_t seed) {
  std::vector<std::string> documents = read_documents(file.path, render);
  FileWindows result;
  result.documents = std::ssize(documents);
  Random(seed, index + 1, kDocumentOrder).shuffle(documents);
  const int64_t enough = (amount.samples + amount.added + amount.held_out) * amount.seq_len;
  for (const std::string& document : documents) {
    const std::vector<int32_t> ids = tokenizer.encode(document, false);
    result.ids.insert(result.ids.end(), ids.begin(), ids.end());
    if (std::ssize(result.ids) >= enough) break;
  }
  result.order.resize(result.ids.size() / static_cast<size_t>(amount.seq_len));
  std::iota(result.order.begin(), result.order.end(), 0);
  Random(seed, index + 1).shuffle(result.order);
  return result;
}

/// Each file's share of `samples`; the files shortest of windows for their weight first, so that what they lack is
/// spread over the rest.
void share_out(const std::vector<CalibrationFile>& files, std::vector<FileWindows>& windows, int64_t samples) {
  std::vector<size_t> order(files.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto per_weight = [&](size_t i) { return static_cast<double>(windows[i].order.size()) / files[i].weight; };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return per_weight(a) < per_weight(b); });
  double weight_left = 0.0;
  for (const CalibrationFile& file : files) weight_left += file.weight;
  int64_t left = samples;
  for (size_t i = 0; i < order.size(); ++i) {
    const size_t file = order[i];
    const bool last = i + 1 == order.size();
    const double share = std::floor(static_cast<double>(left) * files[file].weight / weight_left);
    windows[file].drawn = last ? left : std::min(static_cast<int64_t>(share), std::ssize(windows[file].order));
    weight_left -= files[file].weight;
    left -= windows[file].drawn;
  }
}

}  // namespace

CalibrationFile CalibrationFile::parse(const std::string& text) {
  std::error_code ignored;
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0 || std::filesystem::exists(text, ignored))
    return std::filesystem::path(text);
  double weight = 0.0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data() + colon + 1, end, weight);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::filesystem::path(text);
  if (!(weight > 0.0) || !std::isfinite(weight))
    fail_usage("--calibration {}: expected a positive weight behind the colon, found {}", text, text.substr(colon + 1));
  return {text.substr(0, colon), weight};
}

std::string CalibrationFile::label() const {
  const std::string name = path.filename().string();
  return weight == 1.0 ? name : fmt::format("{}:{:.6g}", name, weight);
}

CalibrationDraw draw_calibration(const Tokenizer& tokenizer, const ChatTemplate* chat_template,
                                 const std::vector<CalibrationFile>& files, const CalibrationAmount& amount,
                                 uint64_t seed) {
  RenderMessages render;
  if (chat_template != nullptr)
    render = [&](const Json& messages, const Json& tools) {
      const Json arguments = tools.is_null() ? Json::object() : Json{{"tools", tools}};
      return render_chat(*chat_template, tokenizer, messages, false, arguments);
    };
  std::vector<FileWindows> windows;
  int64_t available = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    windows.push_back(read_windows(tokenizer, render, files[i], i, amount, seed));
    available += std::ssize(windows.back().order);
  }
  const int64_t needed = amount.samples + amount.added;
  if (available < needed)
    fail_input("calibration: expected {} windows of {} tokens (--samples, {}--seq-len), found {} in {} file{}", needed,
               amount.seq_len, amount.added > 0 ? "--tune-samples, --validation, " : "", available, files.size(),
               files.size() == 1 ? "" : "s");

  CalibrationDraw draw;
  const auto take = [&](const FileWindows& file, int64_t window, std::vector<std::vector<int32_t>>& chosen) {
    const auto begin = file.ids.begin() + file.order[static_cast<size_t>(window)] * amount.seq_len;
    chosen.emplace_back(begin, begin + amount.seq_len);
  };
  const auto append = [&](const std::vector<std::vector<int32_t>>& chosen) {
    for (const auto& window : chosen) draw.ids.insert(draw.ids.end(), window.begin(), window.end());
  };
  // Those for training follow, so that the others are the same without it where files are read whole. Shares only grow
  // with the number of windows.
  for (const int64_t count : {amount.samples, needed}) {
    std::vector<int64_t> before;
    for (const FileWindows& file : windows) before.push_back(file.drawn);
    share_out(files, windows, count);
    std::vector<std::vector<int32_t>> chosen;
    for (size_t i = 0; i < files.size(); ++i)
      for (int64_t w = before[i]; w < windows[i].drawn; ++w) take(windows[i], w, chosen);
    Random(seed, 0).shuffle(chosen);
    append(chosen);
  }
  draw.files = Json::array();
  for (size_t i = 0; i < files.size(); ++i)
    draw.files.push_back({{"file", files[i].path.filename().string()},
                          {"weight", files[i].weight},
                          {"documents", windows[i].documents},
                          {"tokens", windows[i].ids.size()},
                          {"windows", windows[i].drawn}});
  // Held out: one of each file in turn, as long as any has one left.
  draw.held_out = std::min(amount.held_out, available - needed);
  std::vector<std::vector<int32_t>> held_out;
  for (size_t i = 0; std::ssize(held_out) < draw.held_out; i = (i + 1) % files.size())
    if (windows[i].left() > 0) take(windows[i], windows[i].drawn++, held_out);
  append(held_out);
  return draw;
}

}  // namespace paro::calib
