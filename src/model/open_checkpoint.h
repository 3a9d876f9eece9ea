// MODEL as the command line takes it: a checkpoint folder, a .gguf file, or a hub id.
#pragma once

#include <string>

#include "io/checkpoint.h"
#include "io/hub.h"

namespace paro {

/// Downloads a hub id that is not in the cache. A folder without config.json that holds one GGUF file stands for that
/// file. Throws Error{kInput}: nothing there, or what is there cannot be used.
Checkpoint open_checkpoint(const std::string& model, const CheckpointParts& parts, const HubOptions& hub);

}  // namespace paro
