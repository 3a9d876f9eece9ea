// Which windows of calibration text a run needs, where they come from, and what each of them is for.
#pragma once

#include <cstdint>
#include <vector>

#include "calib/calibration_text.h"
#include "calib/options.h"
#include "calib/processes.h"
#include "io/checkpoint.h"
#include "model/config.h"

namespace paro::calib {

/// Round to nearest needs no text; a few ids are enough to check the written checkpoint. Held out for the comparison
/// with full precision: one window in 32. Training has held-out windows of its own, which must be there.
CalibrationAmount calibration_amount(const QuantizeOptions& options);

/// From the files, or sampled from the model itself. Throws what draw_calibration throws, and Cancelled.
CalibrationDraw calibration_draw(const QuantizeOptions& options, const Checkpoint& checkpoint,
                                 const ModelConfig& config);

/// Ids, [windows, seq_len] each.
struct CalibrationWindows {
  std::vector<int32_t> fitted;    // what layers are fitted to, or trained on
  std::vector<int32_t> tuned;     // end-to-end tuning: others, or the same where layers are trained
  std::vector<int32_t> held_out;  // in neither
};
CalibrationWindows split_windows(const QuantizeOptions& options, const CalibrationDraw& draw);

/// Those that this process works on.
std::vector<int32_t> share_of_windows(const std::vector<int32_t>& ids, int64_t seq_len, const Processes& processes);
/// Of at least one.
std::vector<int32_t> last_window(const std::vector<int32_t>& ids, int64_t seq_len);

}  // namespace paro::calib
