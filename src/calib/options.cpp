#include "calib/options.h"

namespace paro::calib {

Json QuantizeOptions::settings() const {
  const char* const methods[] = {"paroquant", "gptq", "rtn"};
  const char* const corrections[] = {"full", "target", "off"};
  Json result = {{"method", methods[static_cast<int>(method)]}, {"bits", bits}, {"group_size", group_size}};
  if (!skip.empty()) result["skip"] = skip;
  if (method == Method::kRtn) return result;
  result["correction"] = corrections[static_cast<int>(correction)];
  result["rotations"] = rotations;
  if (rotations > 0) {
    result["pairs"] = pairs == PairKind::kRandom ? "random" : "butterfly";
    result["share_rotations"] = share_rotations;
  }
  result["sweeps"] = sweeps;
  Json files = Json::array();
  for (const CalibrationFile& file : calibration) files.push_back(file.label());
  result["calibration"] = files.empty() ? Json("sampled from the model itself") : files;
  result["samples"] = samples;
  result["seq_len"] = seq_len;
  result["seed"] = seed;
  return result;
}

}  // namespace paro::calib
