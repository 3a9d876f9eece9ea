// A model's weights with rotations merged into them: the same function, other numbers. RMSNorm weights go into the
// linears behind them; the residual stream (R1) and the values of attention (R2, one for each KV head) are turned.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/threads.h"
#include "calib/numeric/blas.h"
#include "io/weight_source.h"
#include "model/model.h"

namespace paro::calib {

/// What can be merged in a model, and what is.
struct MergePlan {
  std::vector<RotationPoints> layers;
  bool residual = false;  // R1
  bool values = false;    // R2

  /// What every layer allows.
  static MergePlan of(std::vector<RotationPoints> layers);
  bool reads_residual(const std::string& linear) const;
  bool writes_residual(const std::string& linear) const;
  bool is_output(const std::string& linear) const;
};

struct MergedRotations {
  SquareMatrix residual;                          // R1 [dim, dim]; n = 0: none
  std::vector<std::vector<SquareMatrix>> values;  // [layers][kv_heads], each [head_dim, head_dim]; empty: none
};

/// With D a norm's weight as a diagonal matrix (norms become 1) and V, O cut into heads:
///   embedding E R1; q, k, gate, up W D R1; v R2^T W D R1, bias R2^T b; o R1^T W R2, down R1^T W, biases R1^T b;
///   head (from now on a matrix of its own) W D R1.
/// Where MergePlan::residual is false, norms, embedding and head stay as they are. Linears are F32, embedding and head
/// F16, as they will be written. Products in f32.
class MergedWeights : public WeightSource {
 public:
  /// `config`: of the model as it is. Everything but `plan` and `rotations`, which are copied, must outlive this.
  /// `rotations` without R1: norms are folded and nothing is turned.
  MergedWeights(std::shared_ptr<const WeightSource> source, const ModelConfig& config, const MergePlan& plan,
                const MergedRotations& rotations, ThreadPool& pool);

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  /// Computes the tensor; not inside a parallel loop. Error{kInput} where a value does not fit into F16.
  LoadedTensor load(std::string_view name) const override;
  std::vector<std::filesystem::path> files() const override { return source_->files(); }
  std::string place(std::string_view name) const override { return source_->place(origin(name)); }

 private:
  /// What happens to a linear, or to embedding and head.
  struct Fold {
    std::string origin;  // the linear it is made from
    std::string norm;    // whose weight multiplies the columns; empty: none
    bool reads = false;
    bool writes = false;
    int64_t value_layer = -1;   // rows are turned by R2 of this layer
    int64_t output_layer = -1;  // columns
    bool half = false;
  };

  const Fold* fold_of(std::string_view tensor, std::string_view suffix) const;
  std::string origin(std::string_view name) const;
  std::vector<float> folded_weight(const Fold& fold) const;
  std::vector<float> folded_bias(const Fold& fold) const;
  void turn_heads(const Fold& fold, std::vector<float>& w, int64_t columns) const;

  std::shared_ptr<const WeightSource> source_;
  int64_t dim_;
  int64_t head_dim_;
  int64_t heads_per_value_;
  ThreadPool& pool_;
  std::vector<float> residual_;                          // R1 [dim, dim] or empty
  std::vector<std::vector<std::vector<float>>> values_;  // R2
  std::map<std::string, Fold, std::less<>> folds_;       // by linear
  std::vector<std::string> norms_;                       // sorted: they become 1
  std::vector<TensorInfo> infos_;
};

}  // namespace paro::calib
