// Rope settings out of config.json, in the keys of transformers 4 and 5.
#pragma once

#include "model/config.h"
#include "model/config_reader.h"

namespace paro {

/// `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (transformers 4, "type" or "rope_type");
/// rope_scaling wins where both are there, as in transformers. Throws Error{kInput} for a kind that is not known,
/// missing or impossible values, or settings per layer type.
RopeConfig parse_rope_config(const ConfigReader& config, double default_theta, int64_t max_positions, int64_t head_dim);

}  // namespace paro
