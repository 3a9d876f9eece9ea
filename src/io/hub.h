// Models and data sets from a Hugging Face compatible hub: download with progress, resume and checksum into the
// standard cache (HF_HOME, HF_ENDPOINT, HF_TOKEN), and finding what is already there.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace paro {

struct HubOptions {
  std::string endpoint;         // HF_ENDPOINT, else the public hub
  std::filesystem::path cache;  // HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub
  std::string token;            // HF_TOKEN
  bool offline = false;         // --offline, HF_HUB_OFFLINE=1: only the cache
  static HubOptions from_environment();
};

/// True for "org/name" or "org/name@revision" that is not an existing path.
bool looks_like_hub_id(const std::string& model);

/// The snapshot folder of a model, downloaded when it is not in the cache (config, tokenizer files, safetensors).
/// Throws Error{kInput}: not found, no access, offline and not cached; Error{kLimit}: the disk is full.
std::filesystem::path hub_snapshot(const std::string& id, const HubOptions& options);

/// Files of a data set "org/name" or "org/name@revision" (paths in its repository), downloaded when they are not in
/// the cache; those that are stay as they are, without asking the hub. The same errors, and Error{kInput} for a file
/// that the data set does not have.
std::vector<std::filesystem::path> hub_dataset_files(const std::string& id, const std::vector<std::string>& names,
                                                     const HubOptions& options);

}  // namespace paro
