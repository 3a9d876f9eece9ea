#include "model/gguf_weights.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "model/gguf_config.h"
#include "model/gguf_names.h"

namespace paro {
namespace {

class GgufWeights : public WeightSource {
 public:
  explicit GgufWeights(std::shared_ptr<const GgufFile> file) : file_(std::move(file)) {
    const GgufHeads heads = gguf_heads(*file_);
    std::vector<Entry> entries;
    for (const TensorInfo& source : file_->tensors()) {
      if (source.name == kGgufRopeFactors) continue;
      const std::optional<std::string> name = hugging_face_name(source.name);
      if (!name)
        fail_input("{}: tensor \"{}\" has no meaning in a {} model", place(""), source.name, gguf_architecture(*file_));
      Entry entry{source, &source, 0};
      entry.info.name = *name;
      if (heads.interleaved && source.name.find(".attn_q.") != std::string::npos) entry.heads = heads.heads;
      if (heads.interleaved && source.name.find(".attn_k.") != std::string::npos) entry.heads = heads.kv_heads;
      if (entry.heads > 0 && (source.shape.empty() || source.shape[0] != entry.heads * heads.head_dim))
        fail_input("{}: tensor \"{}\": expected {} rows ({} heads of {}), found shape {}", place(""), source.name,
                   entry.heads * heads.head_dim, entry.heads, heads.head_dim, shape_text(source.shape));
      // A type of the file's own: present as F16.
      entry.dequantized = source.stored_type != dtype_name(source.dtype);
      if (entry.dequantized) entry.info.dtype = DType::kF16;
      entries.push_back(std::move(entry));
    }
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.info.name < b.info.name; });
    for (Entry& entry : entries) {
      if (!infos_.empty() && infos_.back().name == entry.info.name)
        fail_input("{}: tensor \"{}\" is there twice", place(""), entry.source->name);
      infos_.push_back(entry.info);
      entries_.push_back(std::move(entry));
    }
  }

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  std::string place(std::string_view) const override { return file_->path().string(); }

  LoadedTensor load(std::string_view name) const override {
    const Entry& entry = entries_[static_cast<size_t>(&require(name) - infos_.data())];
    if (!entry.dequantized && entry.heads == 0) return file_->load(entry.source->name);
    const std::shared_ptr<std::byte[]> memory(
        new std::byte[static_cast<size_t>(TensorView{entry.info.dtype, entry.info.shape, nullptr}.bytes())]);
    if (entry.dequantized) {
      round_to_f16(entry, reinterpret_cast<uint16_t*>(memory.get()));
    } else {
      const LoadedTensor stored = file_->load(entry.source->name);
      const int64_t rows = entry.info.shape[0];
      const auto row_bytes = static_cast<size_t>(stored.view.bytes() / rows);
      for (int64_t row = 0; row < rows; ++row)
        std::memcpy(memory.get() + static_cast<size_t>(entry.row_for(row)) * row_bytes,
                    stored.view.data + static_cast<size_t>(row) * row_bytes, row_bytes);
    }
    return {{entry.info.dtype, entry.info.shape, memory.get()}, memory};
  }

 private:
  struct Entry {
    TensorInfo info;
    const TensorInfo* source = nullptr;
    int64_t heads = 0;  // rows are interleaved in heads; 0: in order
    bool dequantized = false;

    /// Where a row of the file goes.
    int64_t row_for(int64_t row) const { return heads == 0 ? row : row_of_interleaved(row, info.shape[0] / heads); }
  };

  void round_to_f16(const Entry& entry, uint16_t* out) const {
    const int64_t width = entry.info.shape.empty() ? 1 : entry.info.shape.back();
    const TensorView view{DType::kF16, entry.info.shape, nullptr};
    const int64_t rows = view.elements() / width;
    // A vector is one row.
    const bool matrix = entry.info.shape.size() > 1;
    PARO_CHECK(entry.heads == 0 || matrix);
    constexpr int64_t kPiece = 1 << 16;
    const int64_t step = std::max<int64_t>(1, kPiece / width);
    std::vector<float> values(static_cast<size_t>(std::min(step, rows) * width));
    for (int64_t first = 0; first < rows; first += step) {
      const int64_t count = std::min(step, rows - first);
      file_->read_rows_f32(*entry.source, first, count, values.data());
      for (int64_t row = 0; row < count; ++row) {
        const float* from = values.data() + row * width;
        uint16_t* to = out + entry.row_for(first + row) * width;
        uint16_t worst = 0;
        for (int64_t i = 0; i < width; ++i) {
          to[i] = f32_to_f16(from[i]);
          worst = std::max<uint16_t>(worst, to[i] & 0x7fffu);
        }
        if (worst >= 0x7c00u)
          fail_input("{}: tensor \"{}\": row {} holds values that are not finite or beyond 65504", place(""),
                     entry.source->name, first + row);
      }
    }
  }

  std::shared_ptr<const GgufFile> file_;
  std::vector<TensorInfo> infos_;
  std::vector<Entry> entries_;
};

}  // namespace

std::unique_ptr<const WeightSource> gguf_weights(std::shared_ptr<const GgufFile> file) {
  return std::make_unique<GgufWeights>(std::move(file));
}

}  // namespace paro
