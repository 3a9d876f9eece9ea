// paro pull: downloads a model, or files of a data set, into the hub cache.
#include "base/error.h"
#include "calib/calibration_text.h"
#include "cli/command.h"
#include "cli/output.h"
#include "io/hub.h"

namespace paro::cli {
namespace {

struct Flags {
  std::string id;
  std::string dataset;
  std::vector<std::string> files;
  bool json = false;
};

/// Paths on this machine of the data set's files, or of the named mix.
std::vector<std::filesystem::path> pull_dataset(const Flags& flags, const CommonFlags& common) {
  if (flags.dataset == calib::kRecipeMix) {
    if (!flags.files.empty()) fail_usage("--file: the mix '{}' has files of its own", flags.dataset);
    std::vector<std::filesystem::path> paths;
    for (const calib::CalibrationFile& file : calib::recipe_mix(common.hub())) paths.push_back(file.path);
    return paths;
  }
  if (flags.files.empty()) fail_usage("--dataset {}: name the files to download with --file PATH", flags.dataset);
  return hub_dataset_files(flags.dataset, flags.files, common.hub());
}

int run(const Flags& flags, const CommonFlags& common) {
  if (flags.id.empty() == flags.dataset.empty()) fail_usage("expected ID or --dataset NAME");
  if (!flags.dataset.empty()) {
    Json paths = Json::array();
    std::string text;
    for (const std::filesystem::path& path : pull_dataset(flags, common)) {
      paths.push_back(path.string());
      text += path.string() + "\n";
    }
    if (flags.json) {
      write_json({{"dataset", flags.dataset}, {"paths", paths}});
    } else {
      write_stdout(text);
    }
    return 0;
  }
  if (!flags.files.empty()) fail_usage("--file: only with --dataset");
  if (!looks_like_hub_id(flags.id)) fail_usage("ID: expected org/name or org/name@revision, found '{}'", flags.id);
  const std::string folder = hub_snapshot(flags.id, common.hub()).string();
  if (flags.json) {
    write_json({{"id", flags.id}, {"path", folder}});
  } else {
    write_stdout(folder + "\n");
  }
  return 0;
}

}  // namespace

Command pull_command() {
  return {"pull", "download a model or a data set's files with progress, resume and checksum; prints where they are",
          "paro pull HuggingFaceTB/SmolLM2-135M-Instruct\n"
          "paro pull --dataset recipe                # calibration text: WikiText-2, C4, RedPajama\n"
          "paro pull --dataset allenai/c4 --file en/c4-train.00001-of-01024.json.gz",
          [](CLI::App& app, const CommonFlags& common) {
            const auto flags = std::make_shared<Flags>();
            app.add_option("ID", flags->id, "a model: org/name or org/name@revision");
            app.add_option("--dataset", flags->dataset,
                           "a data set, org/name[@revision], with --file; or the mix 'recipe'");
            app.add_option("--file", flags->files, "PATH in the data set (repeatable)")->allow_extra_args(false);
            app.add_flag("--json", flags->json, "one JSON document: id and path, or dataset and paths");
            return [flags, &common] { return run(*flags, common); };
          }};
}

}  // namespace paro::cli
