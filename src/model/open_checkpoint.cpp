#include "model/open_checkpoint.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "model/gguf_checkpoint.h"

namespace paro {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> gguf_files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code code;
  for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code))
    if (it->path().extension() == ".gguf") files.push_back(it->path());
  if (code) fail_input("{}: cannot read the folder: {}", folder.string(), code.message());
  std::sort(files.begin(), files.end());
  return files;
}

Checkpoint open_folder(const fs::path& folder, const CheckpointParts& parts) {
  std::error_code code;
  if (fs::exists(folder / "config.json", code)) return open_checkpoint_folder(folder, parts);
  const std::vector<fs::path> files = gguf_files_in(folder);
  if (files.size() == 1) return open_gguf_checkpoint(resolve_inside(folder, files[0].filename().string()), parts);
  if (files.size() > 1)
    fail_input("{}: has no config.json and {} GGUF files: name one of them, such as {}", folder.string(), files.size(),
               files[0].string());
  return open_checkpoint_folder(folder, parts);
}

}  // namespace

Checkpoint open_checkpoint(const std::string& model, const CheckpointParts& parts, const HubOptions& hub) {
  if (model.empty()) fail_input("expected a model: a checkpoint folder, a .gguf file or a hub id");
  std::error_code code;
  Checkpoint result;
  if (fs::is_directory(model, code)) {
    result = open_folder(model, parts);
  } else if (fs::exists(model, code)) {
    if (fs::path(model).extension() == ".safetensors")
      fail_input("{}: expected a checkpoint: give the folder of this file", model);
    result = open_gguf_checkpoint(model, parts);
  } else if (looks_like_hub_id(model)) {
    result = open_folder(hub_snapshot(model, hub), parts);
  } else {
    fail_input("{}: no such file or folder, and not a hub id (org/name)", model);
  }
  result.name = model;
  return result;
}

}  // namespace paro
