// SPDX-License-Identifier: Apache-2.0
// What Attend refuses; the device is checked last, so that the rest runs here.
#include "engine/attention/attend.h"

#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <string>

#include "engine/kernels/cache_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spanlm {
namespace {

using testing::HasSubstr;

constexpr int64_t kRows = 5, kHeads = 2, kDim = 4;

// Arguments of matching shapes, on the CPU.
struct Arguments {
  Arguments() {
    const at::TensorOptions bytes = at::TensorOptions().dtype(at::kByte);
    rows.chunks = at::zeros({1, int64_t{sizeof(kernels::Chunk)}}, bytes);
    rows.row_chunk = at::zeros({kRows}, bytes.dtype(at::kInt));
    tables.heads =
        at::zeros({kHeads, int64_t{sizeof(kernels::HeadSpan)}}, bytes);
    tables.mask_columns = 33;
    tables.mask = at::zeros({32 + kHeads * (33 + 32)});
    tables.position_keys = at::zeros({1, 2, kDim, 32});
    projections = {at::zeros({kRows, kHeads * kDim}),
                   at::zeros({kRows, kHeads * kDim}),
                   at::zeros({kRows, kHeads * kDim})};
    memory = {at::zeros({1024}), at::zeros({512})};
  }

  // What Attend says of them.
  std::string Refusal() const {
    try {
      Attend(rows, tables, projections, memory);
    } catch (const c10::Error& error) {
      return error.what_without_backtrace();
    }
    return "";
  }

  StepRows rows;
  AttentionTables tables;
  Projections projections;
  CacheMemory memory;
};

TEST(AttendTest, RefusesTensorsOnTheCpu) {
  EXPECT_THAT(Arguments().Refusal(), HasSubstr("on cpu, want a CUDA device"));
}

TEST(AttendTest, RefusesAProjectionOfAnotherShapeAndNamesBoth) {
  Arguments arguments;
  arguments.projections.key = at::zeros({kRows, kHeads * kDim + 1});

  EXPECT_THAT(arguments.Refusal(), HasSubstr("key is [5, 9], want [5, 8]"));
}

TEST(AttendTest, TakesRowsOfAFusedProductButNotStridedColumns) {
  Arguments arguments;
  const int64_t width = kHeads * kDim;
  const at::Tensor fused = at::zeros({kRows, 3 * width});
  arguments.projections = {fused.narrow(1, 0, width),
                           fused.narrow(1, width, width),
                           fused.narrow(1, 2 * width, width)};
  EXPECT_THAT(arguments.Refusal(), HasSubstr("want a CUDA device"));

  arguments.projections.value = at::zeros({width, kRows}).t();
  EXPECT_THAT(arguments.Refusal(), HasSubstr("value has strided columns"));
}

TEST(AttendTest, RefusesAnotherTypeAndNamesTheTensor) {
  Arguments arguments;
  arguments.projections.query = arguments.projections.query.to(at::kHalf);
  EXPECT_THAT(arguments.Refusal(), HasSubstr("query is Half, want Float"));

  arguments = Arguments();
  arguments.rows.row_chunk = arguments.rows.row_chunk.to(at::kLong);
  EXPECT_THAT(arguments.Refusal(), HasSubstr("row_chunk is Long, want Int"));
}

TEST(AttendTest, RefusesTablesThatDoNotFitTheHeads) {
  Arguments arguments;
  arguments.tables.mask = at::zeros({100});
  EXPECT_THAT(arguments.Refusal(), HasSubstr("mask is [100], want [162]"));

  arguments = Arguments();
  arguments.tables.position_keys = at::zeros({3, 2, kDim, 32});
  EXPECT_THAT(arguments.Refusal(), HasSubstr("position_keys is [3, 2, 4, 32]"));

  arguments = Arguments();
  arguments.tables.content_bias = at::zeros({kHeads, kDim + 1});
  EXPECT_THAT(arguments.Refusal(), HasSubstr("content_bias is [2, 5]"));

  arguments = Arguments();
  arguments.tables.heads = at::zeros({kHeads, 1});
  EXPECT_THAT(arguments.Refusal(), HasSubstr("heads is [2, 1]"));
}

TEST(AttendTest, RefusesASlabThatIsNotDense) {
  Arguments arguments;
  arguments.memory.slab = at::zeros({2, 1024}).t();

  EXPECT_THAT(arguments.Refusal(), HasSubstr("slab is not dense"));
}

TEST(AttendTest, NamesWhatIsMissing) {
  Arguments arguments;
  arguments.projections.value = at::Tensor();
  EXPECT_THAT(arguments.Refusal(), HasSubstr("value is missing"));

  arguments = Arguments();
  arguments.memory.slab = at::Tensor();
  EXPECT_THAT(arguments.Refusal(), HasSubstr("slab is missing"));
}

}  // namespace
}  // namespace spanlm
