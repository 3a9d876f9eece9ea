#include "calib/options.h"

namespace paro::calib {

Json QuantizeOptions::settings() const {
  const char* const methods[] = {"paroquant", "gptq", "rtn"};
  const char* const corrections[] = {"full", "target", "off"};
  Json result = {{"method", methods[static_cast<int>(method)]}, {"bits", bits}, {"group_size", group_size}};
  if (!skip.empty()) result["skip"] = skip;
  if (method == Method::kRtn) return result;
  const char* const transforms[] = {"online", "hybrid", "merged"};
  if (method == Method::kParoQuant) result["transform"] = transforms[static_cast<int>(transform)];
  result["correction"] = corrections[static_cast<int>(correction)];
  result["rotations"] = rotations;
  if (rotations > 0) {
    const char* const kinds[] = {"random", "butterfly", "magnitude"};
    result["pairs"] = kinds[static_cast<int>(pairs)];
    if (pair_fraction < 1.0) result["pair_fraction"] = pair_fraction;
    result["share_rotations"] = share_rotations;
  }
  result["sweeps"] = sweeps;
  Json files = Json::array();
  for (const auto& file : calibration) files.push_back(file.filename().string());
  result["calibration"] = files.empty() ? Json("sampled from the model itself") : files;
  result["samples"] = samples;
  result["seq_len"] = seq_len;
  result["seed"] = seed;
  return result;
}

}  // namespace paro::calib
