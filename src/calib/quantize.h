// `paro quantize` as a function: a full-precision checkpoint in, a 4-bit one in the public ParoQuant format out.
#pragma once

#include "base/json.h"
#include "calib/device.h"
#include "calib/layer_quantizer.h"
#include "calib/options.h"
#include "calib/processes.h"
#include "calib/trainer.h"

namespace paro::calib {

/// What a run on `device` would cost: "tokens", "hidden_bytes", "memory_bytes", "disk_bytes", "seconds", with the
/// settings. `trainer`: its rate counts where the options train; without one that of `device` does.
Json estimate_quantize(const QuantizeOptions& options, Device& device, Trainer* trainer = nullptr);

/// Runs it on `device`, and where the options train on `trainer`, which must then be there. Progress and losses go to
/// the log. Returns the report: settings, per layer the sets with their losses, the verification of the written
/// checkpoint, seconds. Throws Error, or Cancelled when the cancel flag was set.
Json quantize(const QuantizeOptions& options, Device& device, Trainer* trainer = nullptr);
/// The same with other processes, each on a device of its own and with a share of the windows; the report and the
/// checkpoint are process 0's, the others return null. The result is that of one process but for the order in which
/// sums are taken; the report's errors of the streams are those of process 0's windows. Error{kUsage} for fewer windows
/// than processes, and for what only one process does (AWQ, training).
Json quantize(const QuantizeOptions& options, Device& device, Processes& processes, Trainer* trainer = nullptr);
/// On the CPU.
Json quantize(const QuantizeOptions& options);

}  // namespace paro::calib
