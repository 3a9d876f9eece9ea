// One CUDA device: its stream, its library handles, its memory. Everything of a context runs in order on one stream, so
// memory can be handed on as soon as the host is done with a handle. Errors of the runtime become Error{kLimit}.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <cusolverDn.h>

#include <cstdint>
#include <string>
#include <utility>

namespace paro {

/// Throws Error{kLimit} naming `what` when a call failed (std::bad_alloc when memory ran out).
void cuda_check(cudaError_t status, const char* what);
void cublas_check(cublasStatus_t status, const char* what);
void cusolver_check(cusolverStatus_t status, const char* what);

/// CUDA devices that the driver shows; 0 without a driver.
int cuda_devices();

/// How f32 products are computed.
enum class CudaProducts {
  kF32,     // as they are; never TF32
  kSplit3,  // each factor as the sum of two bf16, three of the four products, f32 sums: errors of about 2^-16
};

/// "f32", "split3".
const char* products_name(CudaProducts products);
/// Error{kUsage} for another name.
CudaProducts products_named(const std::string& name);

class CudaContext {
 public:
  /// Device `index` of those the driver shows. Error{kLimit} when there is none, or too old a one.
  explicit CudaContext(int index);
  ~CudaContext();
  CudaContext(const CudaContext&) = delete;
  CudaContext& operator=(const CudaContext&) = delete;

  cudaStream_t stream() const { return stream_; }
  cublasHandle_t blas() const { return blas_; }
  cusolverDnHandle_t solver() const { return solver_; }
  const std::string& name() const { return name_; }
  int multiprocessors() const { return multiprocessors_; }
  /// Shared memory that one block can ask for.
  int shared_bytes() const { return shared_bytes_; }
  /// Free on the device, memory that this context holds in reserve included.
  int64_t free_bytes() const;
  void synchronize() const { cuda_check(cudaStreamSynchronize(stream_), "synchronizing"); }

  /// On the stream; throws std::bad_alloc.
  void* allocate(int64_t bytes) const;
  void release(void* data) const noexcept;

 private:
  int device_ = 0;
  cudaStream_t stream_ = nullptr;
  cublasHandle_t blas_ = nullptr;
  cusolverDnHandle_t solver_ = nullptr;
  cudaMemPool_t pool_ = nullptr;
  std::string name_;
  int multiprocessors_ = 0;
  int shared_bytes_ = 0;
};

/// `count` values of T on the device, uninitialised; the context outlives it.
template <typename T>
class DeviceArray {
 public:
  DeviceArray() = default;
  DeviceArray(const CudaContext& context, int64_t count)
      : context_(&context),
        data_(static_cast<T*>(context.allocate(count * static_cast<int64_t>(sizeof(T))))),
        count_(count) {}
  DeviceArray(DeviceArray&& other) noexcept { swap(other); }
  DeviceArray& operator=(DeviceArray&& other) noexcept {
    swap(other);
    return *this;
  }
  ~DeviceArray() {
    if (data_ != nullptr) context_->release(data_);
  }

  T* data() const { return data_; }
  int64_t size() const { return count_; }
  bool empty() const { return data_ == nullptr; }
  void zero() { cuda_check(cudaMemsetAsync(data_, 0, bytes(), context_->stream()), "clearing memory"); }
  /// The host's memory may be reused at once.
  void from_host(const T* values) {
    cuda_check(cudaMemcpyAsync(data_, values, bytes(), cudaMemcpyHostToDevice, context_->stream()),
               "copying to the device");
    // Pageable memory is staged before the call returns; pinned memory would not be.
  }
  void from_device(const T* values) {
    cuda_check(cudaMemcpyAsync(data_, values, bytes(), cudaMemcpyDeviceToDevice, context_->stream()),
               "copying on the device");
  }
  /// Waits for the device.
  void to_host(T* values) const {
    cuda_check(cudaMemcpyAsync(values, data_, bytes(), cudaMemcpyDeviceToHost, context_->stream()),
               "copying from the device");
    context_->synchronize();
  }

 private:
  size_t bytes() const { return static_cast<size_t>(count_) * sizeof(T); }
  void swap(DeviceArray& other) {
    std::swap(context_, other.context_);
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
  }
  const CudaContext* context_ = nullptr;
  T* data_ = nullptr;
  int64_t count_ = 0;
};

}  // namespace paro
