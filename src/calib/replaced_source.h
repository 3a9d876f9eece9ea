// A checkpoint's tensors with some of them replaced, in memory: what a change of the model that leaves its outputs as
// they are (scales moved from one weight into another) gives layers to load from.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "io/weight_source.h"

namespace paro::calib {

struct ReplacedTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<float> values;
};

/// Of the source tensor with the same name; a float type and finite, or Error{kInput}.
ReplacedTensor load_replaced(const WeightSource& source, const std::string& name);
/// Rounds to what F16 holds; Error{kInput} for values beyond it.
void round_to_f16(ReplacedTensor& tensor, const WeightSource& source);

class ReplacedSource : public WeightSource {
 public:
  /// `base` must outlive it; every name is one of its tensors'.
  ReplacedSource(const WeightSource& base, std::vector<ReplacedTensor> tensors);

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  LoadedTensor load(std::string_view name) const override;
  void will_read(std::string_view name) const override;
  void was_read(std::string_view name) const override;
  std::vector<std::filesystem::path> files() const override { return base_.files(); }
  std::string place(std::string_view name) const override { return base_.place(name); }

 private:
  const WeightSource& base_;
  std::vector<TensorInfo> infos_;
  std::map<std::string, ReplacedTensor, std::less<>> replaced_;
};

}  // namespace paro::calib
