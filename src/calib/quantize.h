// `paro quantize` as a function: a full-precision checkpoint in, a 4-bit one in the public ParoQuant format out.
#pragma once

#include "base/json.h"
#include "calib/device.h"
#include "calib/layer_quantizer.h"
#include "calib/options.h"
#include "calib/trainer.h"

namespace paro::calib {

/// What a run on `device` would cost: "tokens", "hidden_bytes", "memory_bytes", "disk_bytes", "seconds", with the
/// settings. `trainer`: its rate counts where the options train; without one that of `device` does.
Json estimate_quantize(const QuantizeOptions& options, Device& device, Trainer* trainer = nullptr);

/// Runs it on `device`, and where the options train on `trainer`, which must then be there. Progress and losses go to the log. Returns the report: settings, per layer the sets with their
/// losses, the verification of the written checkpoint, seconds. Throws Error, or Cancelled when the cancel flag was
/// set.
Json quantize(const QuantizeOptions& options, Device& device, Trainer* trainer = nullptr);
/// On the CPU.
Json quantize(const QuantizeOptions& options);

}  // namespace paro::calib
