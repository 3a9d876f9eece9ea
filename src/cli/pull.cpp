// paro pull: downloads a model into the hub cache.
#include "base/error.h"
#include "cli/command.h"
#include "cli/output.h"
#include "io/hub.h"

namespace paro::cli {
namespace {

struct Flags {
  std::string id;
  bool json = false;
};

int run(const Flags& flags, const CommonFlags& common) {
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
  return {"pull", "download a model with progress, resume and checksum; prints its folder",
          "paro pull HuggingFaceTB/SmolLM2-135M-Instruct", [](CLI::App& app, const CommonFlags& common) {
            const auto flags = std::make_shared<Flags>();
            app.add_option("ID", flags->id, "org/name or org/name@revision")->required();
            app.add_flag("--json", flags->json, "one JSON document: id, path");
            return [flags, &common] { return run(*flags, common); };
          }};
}

}  // namespace paro::cli
