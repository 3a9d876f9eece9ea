#include "calib/merged_moments.h"

#include <cstring>

#include "backends/cpu/cpu_ops.h"
#include "base/error.h"
#include "base/files.h"
#include "base/progress.h"
#include "calib/dense_weights.h"
#include "calib/layer_blocks.h"
#include "calib/layer_quantizer.h"
#include "calib/numeric/statistics.h"
#include "calib/recording_ops.h"

namespace paro::calib {
namespace {

constexpr int64_t kColumns = 64;

/// E[x_j^2] over the rows added.
class Diagonal {
 public:
  Diagonal(int64_t in, ThreadPool& pool) : pool_(pool), sums_(static_cast<size_t>(in)) {}

  void add(Tensor x) {
    pool_.parallel_for(x.dim, kColumns, [&](int64_t begin, int64_t end) {
      for (int64_t row = 0; row < x.rows; ++row)
        for (int64_t j = begin; j < end; ++j) {
          const auto value = static_cast<double>(x.f32()[row * x.dim + j]);
          sums_[static_cast<size_t>(j)] += value * value;
        }
    });
    rows_ += x.rows;
  }
  std::vector<float> mean() const {
    std::vector<float> result;
    for (const double sum : sums_) result.push_back(static_cast<float>(sum / static_cast<double>(rows_)));
    return result;
  }

 private:
  ThreadPool& pool_;
  std::vector<double> sums_;
  int64_t rows_ = 0;
};

std::vector<float> blocks_of(const SquareMatrix& h, int64_t size) {
  std::vector<float> blocks;
  for (int64_t first = 0; first < h.n; first += size)
    for (int64_t i = first; i < first + size; ++i)
      for (int64_t j = first; j < first + size; ++j) blocks.push_back(static_cast<float>(h.row(i)[j]));
  return blocks;
}

TensorToWrite f32_tensor(int set, std::vector<int64_t> shape, std::vector<float> values) {
  return {fmt::format("set.{}", set), DType::kF32, std::move(shape),
          [values = std::move(values)](const std::function<void(const void*, size_t)>& sink) {
            sink(values.data(), values.size() * sizeof(float));
          }};
}

const LinearSlot& first_of(const std::vector<LinearSlot>& slots, int set) {
  for (const LinearSlot& slot : slots)
    if (slot.set == set) return slot;
  PARO_CHECK(!"every set has a linear");
  return slots.front();
}

/// One layer's moments; the stream moves through it.
std::vector<TensorToWrite> measure(const ModelConfig& config, DecoderLayer& layer, const MergePlan& plan, Ops& ops,
                                   Streams& streams, const std::atomic<bool>* cancel) {
  ThreadPool& pool = thread_pool_of(ops);
  const std::vector<LinearSlot> slots = layer.linear_slots();
  RecordingOps recorder(ops);
  std::vector<TensorToWrite> tensors;
  for (const LayerBlock& block : kLayerBlocks) {
    const LinearSlot& first = first_of(slots, block.first_set);
    const LinearSlot& last = first_of(slots, block.first_set + 1);
    const Linear& output = **last.weight;
    const bool full = plan.reads_residual(first.name);
    const bool by_heads = plan.is_output(last.name);
    const int64_t in = (**first.weight).in;
    Statistics inputs(full ? in : 0, 0, pool);
    Statistics outputs(by_heads ? output.in : 0, 0, pool);
    Diagonal input_diagonal(in, pool);
    Diagonal output_diagonal(output.in, pool);
    streams.for_each([&](const Streams::Part& part) {
      if (cancel != nullptr && cancel->load()) throw Cancelled{};
      const auto run = [&] { (layer.*block.run)(recorder, part.quantized, part.batch); };
      recorder.capture(**first.weight, run, [&](Tensor x) {
        if (full)
          inputs.add(x.f32(), nullptr, x.rows);
        else
          input_diagonal.add(x);
      });
      recorder.capture(output, run, [&](Tensor x) {
        if (by_heads)
          outputs.add(x.f32(), nullptr, x.rows);
        else
          output_diagonal.add(x);
        const OpsScope scope(ops);
        ops.add(part.quantized, ops.linear(x, output));
      });
    });
    if (full) {
      const SquareMatrix h = inputs.second_moment(first.name);
      tensors.push_back(f32_tensor(block.first_set, {in, in}, {h.data.begin(), h.data.end()}));
    } else {
      tensors.push_back(f32_tensor(block.first_set, {in}, input_diagonal.mean()));
    }
    if (by_heads) {
      const int64_t d = config.head_dim;
      tensors.push_back(f32_tensor(last.set, {output.in / d, d, d}, blocks_of(outputs.second_moment(last.name), d)));
    } else {
      tensors.push_back(f32_tensor(last.set, {output.in}, output_diagonal.mean()));
    }
  }
  return tensors;
}

}  // namespace

MergedMoments::MergedMoments(const ModelConfig& config, const WeightSource& weights, const MergePlan& plan,
                             const Rope& rope, Ops& ops, Streams& streams, const std::filesystem::path& folder,
                             const std::atomic<bool>* cancel) {
  DenseWeightFactory factory;
  Progress progress("measuring inputs", config.layers);
  for (int64_t i = 0; i < config.layers; ++i) {
    files_.push_back(folder / fmt::format("moments-{:05}.safetensors", i));
    const auto layer = load_layer(config, i, rope, weights, factory);
    write_safetensors(files_.back(), measure(config, *layer, plan, ops, streams, cancel));
    const std::shared_ptr<const SafetensorsFile> file = SafetensorsFile::open(files_.back());
    std::vector<LoadedTensor>& sets = loaded_.emplace_back();
    for (const TensorInfo& info : file->tensors()) {
      sets.push_back(file->load(info.name));
      PARO_CHECK(reinterpret_cast<uintptr_t>(sets.back().view.data) % alignof(float) == 0);
    }
    progress.advance(1);
  }
}

MergedMoments::~MergedMoments() {
  std::error_code ignored;
  for (const std::filesystem::path& file : files_) std::filesystem::remove(file, ignored);
}

const float* MergedMoments::of(int64_t layer, int set) const {
  return reinterpret_cast<const float*>(loaded_.at(static_cast<size_t>(layer)).at(static_cast<size_t>(set)).view.data);
}

std::vector<double> MergedMoments::diagonal(int64_t layer, int set) const {
  const float* values = of(layer, set);
  const std::vector<int64_t>& shape = loaded_[static_cast<size_t>(layer)][static_cast<size_t>(set)].view.shape;
  const int64_t size = shape.back();
  const int64_t count = shape.size() == 3 ? shape[0] * size : size;
  std::vector<double> result;
  for (int64_t i = 0; i < count; ++i)
    result.push_back(static_cast<double>(values[shape.size() == 1 ? i : i * size + i % size]));
  return result;
}

}  // namespace paro::calib
