// Dense products on the device, row-major, over cuBLAS.
#pragma once

#include <cstdint>

#include "backends/cuda/context.h"

namespace paro {

/// c [m, n] = alpha a b + beta c; a is [m, k] or, transposed, [k, m]; b is [k, n] or, transposed, [n, k]. Leading
/// dimensions are those of the matrices as they are stored.
void cuda_gemm(const CudaContext& context, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
               float alpha, const float* a, int64_t lda, const float* b, int64_t ldb, float beta, float* c,
               int64_t ldc);
void cuda_gemm(const CudaContext& context, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
               double alpha, const double* a, int64_t lda, const double* b, int64_t ldb, double beta, double* c,
               int64_t ldc);

/// The same for `count` products of one shape; a, b and c are arrays of addresses on the device.
void cuda_gemm_batched(const CudaContext& context, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                       float alpha, const float* const* a, int64_t lda, const float* const* b, int64_t ldb, float beta,
                       float* const* c, int64_t ldc, int64_t count);

/// A matrix as the sum of two in bf16, its pieces stacked along the dimension that a product sums over:
/// high, high, low for the first factor of a product and high, low, high for the second.
enum class SplitOrder { kFirst, kSecond };

/// c [m, n] = a b^T, a [m, k], b [n, k], with a and b split (CudaProducts::kSplit3).
void cuda_gemm_split_nt(const CudaContext& context, int64_t m, int64_t n, int64_t k, const float* a, const uint16_t* b3,
                        float* c);
/// c [m, n] = a^T b for split factors [3 rows, lda] and [3 rows, ldb].
void cuda_gemm_split_tn(const CudaContext& context, int64_t m, int64_t n, int64_t rows, const uint16_t* a3, int64_t lda,
                        const uint16_t* b3, int64_t ldb, float* c, int64_t ldc);
/// x [rows, k] -> [rows, 3 k]: the pieces beside each other in each row.
void cuda_split_columns(const CudaContext& context, const float* x, int64_t rows, int64_t k, SplitOrder order,
                        uint16_t* pieces);
/// x [rows, k] -> [3 rows, k]: the pieces below each other.
void cuda_split_rows(const CudaContext& context, const float* x, int64_t rows, int64_t k, SplitOrder order,
                     uint16_t* pieces);

}  // namespace paro
