#include "calib/calibration_text.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "calib/numeric/random.h"

namespace paro::calib {
namespace {

constexpr int64_t kMaxTextBytes = int64_t{4} << 30;

std::string texts_of_lines(const std::string& lines, const std::string& place) {
  std::string result;
  int64_t number = 0;
  for (size_t begin = 0; begin < lines.size();) {
    const size_t end = std::min(lines.find('\n', begin), lines.size());
    const std::string_view line(lines.data() + begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = fmt::format("{}:{}", place, number);
    result += json_string(parse_json(line, where), "text", where);
    result += "\n\n";
  }
  return result;
}

}  // namespace

std::string read_calibration_text(const std::filesystem::path& file) {
  std::string text = read_file(file, kMaxTextBytes);
  if (file.extension() == ".jsonl") text = texts_of_lines(text, file.string());
  if (text.empty()) fail_input("{}: expected calibration text, found none", file.string());
  return text;
}

std::vector<int32_t> calibration_windows(const Tokenizer& tokenizer, const std::vector<std::filesystem::path>& files,
                                         int64_t samples, int64_t seq_len, uint64_t seed) {
  std::vector<std::vector<int32_t>> ids;
  std::vector<std::vector<int64_t>> windows;  // of each file, shuffled
  std::vector<size_t> by_size;
  int64_t available = 0;
  for (const auto& file : files) {
    ids.push_back(tokenizer.encode(read_calibration_text(file), false));
    std::vector<int64_t> order(ids.back().size() / static_cast<size_t>(seq_len));
    std::iota(order.begin(), order.end(), 0);
    Random(seed, ids.size()).shuffle(order);
    available += static_cast<int64_t>(order.size());
    windows.push_back(std::move(order));
    by_size.push_back(by_size.size());
  }
  if (available < samples)
    fail_input("calibration: expected {} windows of {} tokens (--samples, --tune-samples, "
               "--validation, --seq-len), found {} in {} file{}", samples,
               seq_len, available, files.size(), files.size() == 1 ? "" : "s");

  // The smallest files first: what they lack is shared among the rest.
  std::stable_sort(by_size.begin(), by_size.end(),
                   [&](size_t a, size_t b) { return windows[a].size() < windows[b].size(); });
  std::vector<std::vector<int32_t>> chosen;
  int64_t left = samples;
  for (size_t i = 0; i < by_size.size(); ++i) {
    const size_t file = by_size[i];
    const int64_t share = left / static_cast<int64_t>(by_size.size() - i);
    const int64_t count = i + 1 == by_size.size() ? left : std::min<int64_t>(share, std::ssize(windows[file]));
    for (int64_t w = 0; w < count; ++w) {
      const auto begin = ids[file].begin() + windows[file][static_cast<size_t>(w)] * seq_len;
      chosen.emplace_back(begin, begin + seq_len);
    }
    left -= count;
  }
  Random(seed, 0).shuffle(chosen);
  std::vector<int32_t> result;
  for (const auto& window : chosen) result.insert(result.end(), window.begin(), window.end());
  return result;
}

}  // namespace paro::calib
