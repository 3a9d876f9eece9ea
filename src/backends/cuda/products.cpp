#include "backends/cuda/products.h"

#include "backends/cuda/kernels.h"

namespace paro {
namespace {

cublasOperation_t flag(bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; }
int narrow(int64_t value) { return static_cast<int>(value); }

/// c [m, n] (column-major [n, m]) = a b in bf16 with f32 sums.
void gemm_bf16(const CudaContext& context, cublasOperation_t op_a, cublasOperation_t op_b, int64_t m, int64_t n,
               int64_t k, const uint16_t* a, int64_t lda, const uint16_t* b, int64_t ldb, float* c, int64_t ldc) {
  const float one = 1.0f;
  const float none = 0.0f;
  cublas_check(cublasGemmEx(context.blas(), op_b, op_a, narrow(n), narrow(m), narrow(k), &one, b, CUDA_R_16BF,
                            narrow(ldb), a, CUDA_R_16BF, narrow(lda), &none, c, CUDA_R_32F, narrow(ldc),
                            CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
               "a product of split factors");
}

}  // namespace

// Row-major c = a b is column-major c^T = b^T a^T.
void cuda_gemm(const CudaContext& context, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
               float alpha, const float* a, int64_t lda, const float* b, int64_t ldb, float beta, float* c,
               int64_t ldc) {
  cublas_check(cublasSgemm(context.blas(), flag(transpose_b), flag(transpose_a), narrow(n), narrow(m), narrow(k),
                           &alpha, b, narrow(ldb), a, narrow(lda), &beta, c, narrow(ldc)),
               "an f32 product");
}

void cuda_gemm(const CudaContext& context, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
               double alpha, const double* a, int64_t lda, const double* b, int64_t ldb, double beta, double* c,
               int64_t ldc) {
  cublas_check(cublasDgemm(context.blas(), flag(transpose_b), flag(transpose_a), narrow(n), narrow(m), narrow(k),
                           &alpha, b, narrow(ldb), a, narrow(lda), &beta, c, narrow(ldc)),
               "an f64 product");
}

void cuda_gemm_batched(const CudaContext& context, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                       float alpha, const float* const* a, int64_t lda, const float* const* b, int64_t ldb, float beta,
                       float* const* c, int64_t ldc, int64_t count) {
  cublas_check(cublasSgemmBatched(context.blas(), flag(transpose_b), flag(transpose_a), narrow(n), narrow(m), narrow(k),
                                  &alpha, b, narrow(ldb), a, narrow(lda), &beta, c, narrow(ldc), narrow(count)),
               "products of one shape");
}

void cuda_gemm_split_nt(const CudaContext& context, int64_t m, int64_t n, int64_t k, const float* a, const uint16_t* b3,
                        float* c) {
  const DeviceArray<uint16_t> a3(context, 3 * m * k);
  cuda_split_columns(context, a, m, k, SplitOrder::kFirst, a3.data());
  gemm_bf16(context, CUBLAS_OP_N, CUBLAS_OP_T, m, n, 3 * k, a3.data(), 3 * k, b3, 3 * k, c, n);
}

void cuda_gemm_split_tn(const CudaContext& context, int64_t m, int64_t n, int64_t rows, const uint16_t* a3, int64_t lda,
                        const uint16_t* b3, int64_t ldb, float* c, int64_t ldc) {
  gemm_bf16(context, CUBLAS_OP_T, CUBLAS_OP_N, m, n, 3 * rows, a3, lda, b3, ldb, c, ldc);
}

void cuda_split_columns(const CudaContext& context, const float* x, int64_t rows, int64_t k, SplitOrder order,
                        uint16_t* pieces) {
  launch_split(context.stream(), x, rows, k, 3 * k, k, order == SplitOrder::kFirst, pieces);
}

void cuda_split_rows(const CudaContext& context, const float* x, int64_t rows, int64_t k, SplitOrder order,
                     uint16_t* pieces) {
  launch_split(context.stream(), x, rows, k, k, rows * k, order == SplitOrder::kFirst, pieces);
}

}  // namespace paro
