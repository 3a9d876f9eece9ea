#include "backends/cpu/attention.h"

#include <algorithm>
#include <atomic>

#include "backends/cpu/cache.h"
#include "base/error.h"

namespace paro {
namespace {

/// Up to this many rows of a segment go through attend_chunk, which widens nothing and splits the positions too.
constexpr int64_t kFewRows = 4;
/// Query heads that share one pass over a chunk.
constexpr int64_t kChunkHeads = 8;
/// Query rows (tokens x heads of one KV head) of one task with many rows: enough to pay for widening a block.
constexpr int64_t kTaskRows = 96;
/// Key and value bytes below which waking the pool costs more than it saves.
constexpr int64_t kSerialBytes = 16 << 10;

/// Some rows and heads of one KV head, over all positions they see.
struct Group {
  const AttentionKernels* kernels = nullptr;
  KvHead cache;
  int64_t row = 0;  // of the batch
  int64_t rows = 0;
  int64_t position = 0;  // of the first row
  int64_t head = 0;      // first query head
  int64_t heads = 0;
  bool few = false;  // attend_chunk or attend_rows
  // Of attend_chunk, chunk-major; nullptr when there is one chunk.
  int64_t first_chunk = 0;
  int64_t chunks = 1;
  float* max = nullptr;
  float* sum = nullptr;
  float* partial = nullptr;
  std::atomic<int64_t>* missing = nullptr;

  int64_t queries() const { return rows * heads; }
};

struct Task {
  const Group* group = nullptr;
  int64_t chunk = 0;

  const std::byte* chunk_data() const {
    return group->cache.data + (group->first_chunk + chunk) * group->cache.chunk_stride;
  }
};

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t first_seen(const AttentionSpec& spec, int64_t position) {
  return spec.window > 0 ? std::max<int64_t>(0, position - spec.window + 1) : 0;
}

const CpuCache& cache_of(const Segment& segment) {
  const auto* cache = dynamic_cast<const CpuCache*>(segment.cache);
  PARO_CHECK(cache != nullptr);
  return *cache;
}

/// A thread's scratch memory, cut for one task.
struct TaskScratch {
  int64_t* first;
  int64_t* last;
  float** out;
  float* q;     // scaled
  float* rest;  // attend_rows: its scratch; attend_chunk: max, sum, out, scores

  static int64_t bytes(int64_t queries, int64_t head_dim, bool few) {
    const int64_t padded = padded_head_dim(head_dim);
    const int64_t rest = few ? queries * (2 + padded + kAttentionChunk) : attention_scratch(queries, head_dim);
    return queries * 3 * 8 + (queries * head_dim + rest) * 4;
  }
  TaskScratch(std::byte* memory, int64_t queries, int64_t head_dim) {
    first = reinterpret_cast<int64_t*>(memory);
    last = first + queries;
    out = reinterpret_cast<float**>(last + queries);
    q = reinterpret_cast<float*>(out + queries);
    rest = q + queries * head_dim;
  }
};

class Attention {
 public:
  Attention(Arena& arena, const AttentionSpec& spec, const Batch& batch, const float* q, float* out)
      : spec_(spec), q_(q), out_(out) {
    plan(arena, batch);
  }

  void run(ThreadPool& pool, Arena& arena, int64_t bytes) {
    const int64_t threads = bytes < kSerialBytes ? 1 : pool.size();
    const int64_t stride = (scratch_bytes_ + 63) / 64 * 64;
    auto* scratch = arena.array<std::byte>(stride * threads);
    const auto execute_all = [&](int64_t begin, int64_t end, int thread) {
      for (int64_t i = begin; i < end; ++i)
        execute(tasks_[i], i + 1 < task_count_ ? &tasks_[i + 1] : nullptr, scratch + stride * thread);
    };
    if (threads == 1) return execute_all(0, task_count_, 0);
    pool.parallel_for(task_count_, 1, execute_all);
  }

 private:
  void plan(Arena& arena, const Batch& batch);
  /// Calls visit(group) for each group of the batch.
  template <typename Visit>
  void for_each_group(const Batch& batch, const Visit& visit) const;
  /// `next`: the task after it in the order of memory, or null.
  void execute(const Task& task, const Task* next, std::byte* memory) const;
  void execute_chunk(const Task& task, const Task* next, const TaskScratch& scratch) const;

  const AttentionSpec& spec_;
  const float* q_;
  float* out_;
  Group* groups_ = nullptr;
  Task* tasks_ = nullptr;
  int64_t task_count_ = 0;
  int64_t scratch_bytes_ = 0;
};

template <typename Visit>
void Attention::for_each_group(const Batch& batch, const Visit& visit) const {
  const int64_t shared = spec_.heads / spec_.kv_heads;
  int64_t first_row = 0;
  for (const Segment& segment : batch.segments) {
    const CpuCache& cache = cache_of(segment);
    PARO_CHECK(segment.start >= 0 && segment.start + segment.rows <= cache.capacity);
    PARO_CHECK(spec_.layer < cache.layers() && spec_.kv_heads == cache.kv_heads() &&
               spec_.head_dim == cache.head_dim());
    const bool few = segment.rows <= kFewRows;
    const int64_t heads = few ? std::min(shared, kChunkHeads) : shared;
    const int64_t rows = few ? segment.rows : std::max<int64_t>(1, kTaskRows / shared);
    // The last rows see the most positions: they come first, so that threads finish together.
    for (int64_t block = ceil_div(segment.rows, rows) - 1; block >= 0; --block) {
      for (int64_t kv = 0; kv < spec_.kv_heads; ++kv) {
        for (int64_t h = 0; h < shared; h += heads) {
          Group group;
          group.kernels = &cache.kernels();
          group.cache = cache.head(spec_.layer, kv);
          group.row = first_row + block * rows;
          group.rows = std::min(rows, segment.rows - block * rows);
          group.position = segment.start + block * rows;
          group.head = kv * shared + h;
          group.heads = std::min(heads, shared - h);
          group.few = few;
          if (few) {
            group.first_chunk = first_seen(spec_, group.position) / kAttentionChunk;
            group.chunks = (group.position + group.rows - 1) / kAttentionChunk + 1 - group.first_chunk;
          }
          visit(group);
        }
      }
    }
    first_row += segment.rows;
  }
  PARO_CHECK(first_row == batch.rows());
}

void Attention::plan(Arena& arena, const Batch& batch) {
  PARO_CHECK(spec_.kv_heads > 0 && spec_.heads % spec_.kv_heads == 0);
  int64_t group_count = 0;
  for_each_group(batch, [&](const Group& group) {
    ++group_count;
    task_count_ += group.chunks;
    scratch_bytes_ = std::max(scratch_bytes_, TaskScratch::bytes(group.queries(), spec_.head_dim, group.few));
  });
  groups_ = arena.array<Group>(group_count);
  tasks_ = arena.array<Task>(task_count_);
  Group* next_group = groups_;
  Task* next_task = tasks_;
  for_each_group(batch, [&](const Group& planned) {
    Group& group = *new (next_group++) Group(planned);
    if (group.chunks > 1) {
      const int64_t results = group.chunks * group.queries();
      group.max = arena.array<float>(results);
      group.sum = arena.array<float>(results);
      group.partial = arena.array<float>(results * padded_head_dim(spec_.head_dim));
      group.missing = new (arena.allocate(sizeof(std::atomic<int64_t>))) std::atomic<int64_t>(group.chunks);
    }
  });
  // Chunk by chunk over the heads of the same rows: the order of memory.
  for (const Group* group = groups_; group < next_group;) {
    const Group* end = group;
    while (end < next_group && end->row == group->row) ++end;
    for (int64_t c = 0; c < group->chunks; ++c)
      for (const Group* g = group; g < end; ++g) new (next_task++) Task{g, c};
    group = end;
  }
}

void Attention::execute(const Task& task, const Task* next, std::byte* memory) const {
  const Group& group = *task.group;
  const TaskScratch scratch(memory, group.queries(), spec_.head_dim);
  int64_t i = 0;
  for (int64_t r = 0; r < group.rows; ++r) {
    for (int64_t h = 0; h < group.heads; ++h, ++i) {
      const int64_t offset = ((group.row + r) * spec_.heads + group.head + h) * spec_.head_dim;
      scratch.last[i] = group.position + r;
      scratch.first[i] = first_seen(spec_, group.position + r);
      scratch.out[i] = out_ + offset;
      for (int64_t d = 0; d < spec_.head_dim; ++d) scratch.q[i * spec_.head_dim + d] = q_[offset + d] * spec_.scale;
    }
  }
  if (group.few) {
    execute_chunk(task, next, scratch);
  } else {
    group.kernels->attend_rows(
        {group.cache, scratch.q, group.queries(), scratch.first, scratch.last, scratch.rest, scratch.out});
  }
}

void Attention::execute_chunk(const Task& task, const Task* next, const TaskScratch& scratch) const {
  const Group& group = *task.group;
  const int64_t queries = group.queries();
  const int64_t padded = padded_head_dim(spec_.head_dim);
  AttentionChunk chunk;
  chunk.cache = group.cache;
  chunk.q = scratch.q;
  chunk.queries = queries;
  chunk.first = scratch.first;
  chunk.last = scratch.last;
  chunk.begin = (group.first_chunk + task.chunk) * kAttentionChunk;
  chunk.end = std::min(chunk.begin + kAttentionChunk, group.position + group.rows);
  chunk.max = scratch.rest;
  chunk.sum = chunk.max + queries;
  chunk.out = chunk.sum + queries;
  chunk.scores = chunk.out + queries * padded;
  if (next != nullptr) chunk.next = next->chunk_data();
  if (group.chunks > 1) {
    chunk.max = group.max + task.chunk * queries;
    chunk.sum = group.sum + task.chunk * queries;
    chunk.out = group.partial + task.chunk * queries * padded;
  }
  group.kernels->attend_chunk(chunk);
  if (group.chunks == 1) {
    merge_chunks(chunk.max, chunk.sum, chunk.out, 1, queries, spec_.head_dim, scratch.out);
  } else if (group.missing->fetch_sub(1, std::memory_order_acq_rel) == 1) {
    // The last chunk to finish joins all of them, in order.
    merge_chunks(group.max, group.sum, group.partial, group.chunks, queries, spec_.head_dim, scratch.out);
  }
}

}  // namespace

void attend_batch(ThreadPool& pool, Arena& arena, const AttentionSpec& spec, const Batch& batch, const float* q,
                  float* out) {
  const ArenaScope scope(arena);
  Attention attention(arena, spec, batch, q, out);
  attention.run(pool, arena, attention_bytes(spec, batch));
}

int64_t attention_bytes(const AttentionSpec& spec, const Batch& batch) {
  int64_t bytes = 0;
  for (const Segment& segment : batch.segments)
    bytes += (segment.start + segment.rows - first_seen(spec, segment.start)) * cache_of(segment).position_bytes();
  return bytes;
}

}  // namespace paro
