#include "runtime/scores_loops.h"

namespace paro::scores {

const Variant kAvx512 = {row_sum_loop, weighted_difference_loop, block_maxima_loop, block_weights_loop};

}  // namespace paro::scores
