#include "backends/cuda/context.h"

#include <new>

#include "base/error.h"

namespace paro {

void cuda_check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  if (status == cudaErrorMemoryAllocation) throw std::bad_alloc();
  fail_limit("CUDA: {}: {}", what, cudaGetErrorString(status));
}

void cublas_check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_ALLOC_FAILED) throw std::bad_alloc();
  if (status != CUBLAS_STATUS_SUCCESS) fail_limit("cuBLAS: {}: {}", what, cublasGetStatusString(status));
}

void cusolver_check(cusolverStatus_t status, const char* what) {
  if (status == CUSOLVER_STATUS_ALLOC_FAILED) throw std::bad_alloc();
  if (status != CUSOLVER_STATUS_SUCCESS) fail_limit("cuSOLVER: {}: status {}", what, static_cast<int>(status));
}

const char* products_name(CudaProducts products) { return products == CudaProducts::kF32 ? "f32" : "split3"; }

CudaProducts products_named(const std::string& name) {
  for (const CudaProducts products : {CudaProducts::kF32, CudaProducts::kSplit3})
    if (name == products_name(products)) return products;
  fail_usage("products on a CUDA device: expected f32 or split3, found '{}'", name);
}

int cuda_devices() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();
  return 0;
}

CudaContext::CudaContext(int index) : device_(index) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {
    cudaGetLastError();
    fail_limit("--device cuda: no NVIDIA GPU to be used: {}",
               status == cudaSuccess ? "the driver shows none" : cudaGetErrorString(status));
  }
  if (index < 0 || index >= count) fail_limit("--device cuda:{}: there are GPUs 0 to {}", index, count - 1);
  cuda_check(cudaSetDevice(index), "choosing the device");
  cudaDeviceProp properties;
  cuda_check(cudaGetDeviceProperties(&properties, index), "reading the device's properties");
  if (properties.major < 8)
    fail_limit("--device cuda:{}: {} has compute capability {}.{}, expected 8.0 or newer", index, properties.name,
               properties.major, properties.minor);
  name_ = properties.name;
  multiprocessors_ = properties.multiProcessorCount;
  shared_bytes_ = static_cast<int>(properties.sharedMemPerBlockOptin);
  cuda_check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
  cuda_check(cudaDeviceGetDefaultMemPool(&pool_, index), "finding the memory pool");
  // What was freed stays with us: a step asks for the same sizes again.
  uint64_t keep = UINT64_MAX;
  cuda_check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep), "setting up the memory pool");
  cublas_check(cublasCreate(&blas_), "starting");
  cublas_check(cublasSetStream(blas_, stream_), "choosing the stream");
  // Full f32: TF32 costs 3 % of the KL in the correction and in GPTQ.
  cublas_check(cublasSetMathMode(blas_, CUBLAS_DEFAULT_MATH), "choosing full precision");
  cusolver_check(cusolverDnCreate(&solver_), "starting");
  cusolver_check(cusolverDnSetStream(solver_, stream_), "choosing the stream");
}

CudaContext::~CudaContext() {
  cudaStreamSynchronize(stream_);
  cusolverDnDestroy(solver_);
  cublasDestroy(blas_);
  cudaStreamDestroy(stream_);
}

int64_t CudaContext::free_bytes() const {
  size_t free = 0;
  size_t total = 0;
  cuda_check(cudaMemGetInfo(&free, &total), "asking for free memory");
  uint64_t reserved = 0;
  uint64_t used = 0;
  cuda_check(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrReservedMemCurrent, &reserved),
             "asking for the pool's size");
  cuda_check(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrUsedMemCurrent, &used), "asking for the pool's use");
  return static_cast<int64_t>(free + (reserved - used));
}

void* CudaContext::allocate(int64_t bytes) const {
  void* data = nullptr;
  // cudaMallocAsync gives no address for nothing.
  const cudaError_t status = cudaMallocAsync(&data, static_cast<size_t>(bytes > 0 ? bytes : 1), stream_);
  if (status == cudaErrorMemoryAllocation) {
    // Freed pieces may only lie apart: give them back and ask again.
    cudaGetLastError();
    cuda_check(cudaStreamSynchronize(stream_), "synchronizing");
    cuda_check(cudaMemPoolTrimTo(pool_, 0), "giving memory back");
    cuda_check(cudaMallocAsync(&data, static_cast<size_t>(bytes > 0 ? bytes : 1), stream_), "allocating memory");
    return data;
  }
  cuda_check(status, "allocating memory");
  return data;
}

void CudaContext::release(void* data) const noexcept { cudaFreeAsync(data, stream_); }

}  // namespace paro
