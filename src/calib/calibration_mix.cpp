// The published recipe's calibration text: which files of which data sets, and in what proportions.
#include "base/error.h"
#include "calib/calibration_text.h"

namespace paro::calib {
namespace {

struct MixPart {
  const char* dataset;
  const char* file;
  double weight;
};

// WikiText-2, C4 and RedPajama in equal parts (arXiv 2511.10645). RedPajama's sample has five snapshots of Common Crawl
// in files of their own: the latest stands for all. Its parts are weighted by their billions of tokens in RedPajama-1T.
constexpr double kRedPajamaTokens = 878.0 + 175.0 + 59.0 + 28.0 + 26.0 + 24.0 + 20.0;
constexpr const char* kRedPajama = "togethercomputer/RedPajama-Data-1T-Sample";
constexpr MixPart kRecipe[] = {
    {"ggml-org/ci", "wikitext-2-raw-v1.zip", 1.0},
    {"allenai/c4", "en/c4-train.00000-of-01024.json.gz", 1.0},
    {kRedPajama, "cc_2023-06_sample.jsonl", 878.0 / kRedPajamaTokens},
    {kRedPajama, "c4_sample.jsonl", 175.0 / kRedPajamaTokens},
    {kRedPajama, "github_sample.jsonl", 59.0 / kRedPajamaTokens},
    {kRedPajama, "arxiv_sample.jsonl", 28.0 / kRedPajamaTokens},
    {kRedPajama, "book_sample.jsonl", 26.0 / kRedPajamaTokens},
    {kRedPajama, "wikipedia_sample.jsonl", 24.0 / kRedPajamaTokens},
    {kRedPajama, "stackexchange_sample.jsonl", 20.0 / kRedPajamaTokens},
};

}  // namespace

std::vector<CalibrationFile> recipe_mix(const HubOptions& hub) {
  std::vector<CalibrationFile> files;
  for (size_t i = 0; i < std::size(kRecipe);) {
    const std::string dataset = kRecipe[i].dataset;
    std::vector<std::string> names;
    const size_t first = i;
    for (; i < std::size(kRecipe) && kRecipe[i].dataset == dataset; ++i) names.emplace_back(kRecipe[i].file);
    const std::vector<std::filesystem::path> paths = hub_dataset_files(dataset, names, hub);
    for (size_t k = 0; k < paths.size(); ++k) files.emplace_back(paths[k], kRecipe[first + k].weight);
  }
  return files;
}

std::vector<CalibrationFile> resolve_mixes(const std::vector<CalibrationFile>& files, const HubOptions& hub) {
  std::vector<CalibrationFile> result;
  for (const CalibrationFile& file : files) {
    if (file.path != kRecipeMix) {
      result.push_back(file);
      continue;
    }
    for (CalibrationFile& part : recipe_mix(hub)) {
      part.weight *= file.weight;
      result.push_back(std::move(part));
    }
  }
  return result;
}

}  // namespace paro::calib
