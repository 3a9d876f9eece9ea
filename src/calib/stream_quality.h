// How far the quantized stream is from the full-precision one, on the windows that were fitted to and on those held
// out: behind each layer, and in the model's own predictions at the end. Far better on the former means overfitting.
#pragma once

#include <cstdint>

#include "base/json.h"
#include "calib/device.h"
#include "calib/streams.h"
#include "model/model.h"

namespace paro::calib {

/// {"calibration": e, "held_out": e}, e the mean over tokens of |q - f|^2 / |f|^2; null for what there is none of
/// (no full-precision stream, nothing held out). Of each kind about kErrorTokens tokens, spread over windows and
/// positions.
Json stream_errors(Device& device, const Streams& streams);
inline constexpr int64_t kErrorTokens = 8192;

/// Behind the last layer, of at most kQualityPositions positions of each of the held-out windows and of as many fitted
/// ones: {"calibration": {...}, "held_out": {...}} with "kl" (mean KL(full || quantized), nats), "perplexity_ratio"
/// (quantized over full) and "positions"; null without held-out windows.
Json stream_quality(const Model& ends, Device& device, const Streams& streams);
inline constexpr int64_t kQualityPositions = 256;

}  // namespace paro::calib
