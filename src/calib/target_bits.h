// `--target-bits`: measures the linears, allocates their widths, and says what that is expected to do.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "calib/device.h"
#include "calib/end_tables.h"
#include "calib/linear_bits.h"
#include "calib/options.h"
#include "calib/outline.h"
#include "calib/work_folder.h"

namespace paro::calib {

/// In the work folder: what was decided.
inline constexpr const char* kAllocationFile = "allocation.json";

/// Error{kUsage} where no widths of the linears that are free make the target: before anything is measured.
void check_target_bits(const QuantizeOptions& options, const ModelConfig& config,
                       const std::vector<LinearOutline>& linears, const EndBits& ends, const LinearBits& bits);

/// Gives `bits` the widths of all linears that neither --skip nor --bits-for names. Those of an interrupted run are
/// read from `work`. Returns {"target_bits", "bits_per_weight", "predicted", "predicted_uniform": {"3": ...},
/// "linears":
/// [{"name", "bits", "loss": {"3": ...}}]}; losses are mean KL in nats. Tables of `ends` count towards the target.
/// Throws Cancelled, Error{kUsage} for a target out of reach, Error{kLimit} without memory for the model in f32.
Json apply_target_bits(const QuantizeOptions& options, const ModelConfig& config, const WeightSource& source,
                       const EndBits& ends, const std::vector<int32_t>& ids, int64_t seq_len, Device& device,
                       const WorkFolder& work, LinearBits& bits);

/// The report as a section of the model card, Markdown: how many linears got which width, the most sensitive ones.
std::string target_bits_text(const Json& report);

}  // namespace paro::calib
