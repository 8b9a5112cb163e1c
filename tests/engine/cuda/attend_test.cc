// SPDX-License-Identifier: Apache-2.0
#include "engine/attention/attend.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <string>
#include <vector>

#include "engine/kernels/reference/span_attention.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/cuda/attention_cases.h"
#include "tests/engine/cuda/need_device.h"

namespace spanlm {
namespace {

using kernels::Chunk;
using kernels::HeadSpan;
using kernels::kBlockPositions;
using testing::HasSubstr;

// Sums of up to 128 products and 128 positions in float against double.
constexpr double kTolerance = 2e-5;

at::Tensor Copy(const void* data, at::IntArrayRef shape, at::ScalarType type) {
  return at::from_blob(const_cast<void*>(data), shape,
                       at::TensorOptions().dtype(type))
      .clone();
}

at::Tensor Floats(const float* data, at::IntArrayRef shape) {
  return Copy(data, shape, at::kFloat);
}

at::Tensor Vector(const std::vector<float>& values) {
  return Floats(values.data(), {static_cast<int64_t>(values.size())});
}

// A problem's memory as Attend takes it, on the CPU.
struct Arguments {
  explicit Arguments(const AttentionProblem& problem) {
    const kernels::SpanAttentionArgs& args = problem.attention();
    const kernels::CacheAppendArgs& append = problem.append();
    const int64_t heads = args.heads, dim = args.head_dim;
    const int64_t width = heads * dim;
    rows.chunks = Copy(args.chunks,
                       {append.chunk_count, int64_t{sizeof(Chunk)}}, at::kByte);
    rows.row_chunk = Copy(args.row_chunk, {args.rows}, at::kInt);
    tables.heads =
        Copy(args.head, {heads, int64_t{sizeof(HeadSpan)}}, at::kByte);
    if (args.mask != nullptr) {
      tables.mask = Floats(args.mask - kBlockPositions,
                           {kBlockPositions + heads * args.mask_head_stride});
    }
    tables.mask_columns = args.mask_columns;
    tables.position_keys =
        Floats(args.position_keys,
               {args.position_head_stride == 0 ? 1 : heads,
                args.position_columns / kBlockPositions, dim, kBlockPositions});
    if (args.content_bias != nullptr) {
      tables.content_bias = Floats(args.content_bias, {heads, dim});
      tables.position_bias = Floats(args.position_bias, {heads, dim});
    }
    tables.position_reach = args.position_reach;
    tables.min_distance = args.min_distance;
    tables.renormalize = args.renormalize;
    tables.empty_start = args.empty_start;
    tables.scale = args.scale;
    const at::Tensor fused = Floats(args.query, {args.rows, 3 * width});
    projections = {fused.narrow(1, 0, width), fused.narrow(1, width, width),
                   fused.narrow(1, 2 * width, width)};
    memory = {Vector(problem.slab()), Vector(problem.staged())};
  }
  Arguments() : Arguments(AttentionProblem(AttentionSetup())) {}

  void MoveTo(at::Device device) {
    for (at::Tensor* tensor :
         {&rows.chunks, &rows.row_chunk, &tables.heads, &tables.mask,
          &tables.position_keys, &tables.content_bias, &tables.position_bias,
          &projections.query, &projections.key, &projections.value,
          &memory.slab, &memory.staged_keys}) {
      if (tensor->defined()) *tensor = tensor->to(device);
    }
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
  DeviceTables tables;
  Projections projections;
  CacheMemory memory;
};

class AttendTest : public testing::TestWithParam<AttentionCase> {
 protected:
  void ExpectReference(at::Device device) {
    const AttentionProblem problem(GetParam().setup);
    Arguments arguments(problem);
    arguments.MoveTo(device);

    const at::Tensor out = Attend(arguments.rows, arguments.tables,
                                  arguments.projections, arguments.memory)
                               .to(at::kCPU);

    const std::vector<double> want =
        SpanAttentionReference(problem.attention(), problem.append().key,
                               problem.append().key_row_stride);
    ASSERT_EQ(out.numel(), static_cast<int64_t>(want.size()));
    const float* got = out.const_data_ptr<float>();
    for (size_t i = 0; i < want.size(); ++i) {
      ASSERT_NEAR(got[i], want[i], kTolerance) << "element " << i;
    }
  }
};

TEST_P(AttendTest, AttendsAsTheReferenceDoesOnTheCpu) {
  ExpectReference(at::kCPU);
}

TEST_P(AttendTest, AttendsAsTheReferenceDoesOnTheDevice) {
  SPANLM_NEED_CUDA_DEVICE();
  ExpectReference(at::kCUDA);
}

TEST_P(AttendTest, AppendsTheRowsAfterwards) {
  const AttentionProblem problem(GetParam().setup);
  const AttentionProblem twin(GetParam().setup);
  Arguments arguments(problem);

  Attend(arguments.rows, arguments.tables, arguments.projections,
         arguments.memory);

  const kernels::CacheAppendArgs& append = twin.append();
  ASSERT_EQ(kernels::AppendToCacheCpu(
                append, 0, int64_t{append.chunk_count} * append.heads),
            nullptr);
  EXPECT_TRUE(arguments.memory.slab.equal(Vector(twin.slab())));
}

INSTANTIATE_TEST_SUITE_P(OddSizes, AttendTest,
                         testing::ValuesIn(AttentionCases()),
                         [](const testing::TestParamInfo<AttentionCase>& info) {
                           return info.param.name;
                         });

TEST(AttendRefusalTest, TakesWhatFits) { EXPECT_EQ(Arguments().Refusal(), ""); }

TEST(AttendRefusalTest, RefusesADeviceWithoutKernels) {
  Arguments arguments;
  arguments.MoveTo(at::kMeta);

  EXPECT_THAT(arguments.Refusal(), HasSubstr("on meta, want cuda or cpu"));
}

TEST(AttendRefusalTest, NamesTheTensorThatLiesElsewhere) {
  Arguments arguments;
  arguments.projections.key = arguments.projections.key.to(at::kMeta);

  EXPECT_THAT(arguments.Refusal(), HasSubstr("key is on meta, want cpu"));
}

TEST(AttendRefusalTest, NamesBothShapesOfAProjection) {
  Arguments arguments;
  arguments.projections.key = at::zeros({1, 65});

  EXPECT_THAT(arguments.Refusal(), HasSubstr("key is [1, 65], want [1, 64]"));
}

TEST(AttendRefusalTest, RefusesStridedColumns) {
  Arguments arguments;
  arguments.projections.value = at::zeros({1, 128}).slice(1, 0, 128, 2);

  EXPECT_THAT(arguments.Refusal(), HasSubstr("value has strided columns"));
}

TEST(AttendRefusalTest, NamesTheTensorOfAnotherType) {
  Arguments arguments;
  arguments.projections.query = arguments.projections.query.to(at::kHalf);
  EXPECT_THAT(arguments.Refusal(), HasSubstr("query is Half, want Float"));

  arguments = Arguments();
  arguments.rows.row_chunk = arguments.rows.row_chunk.to(at::kLong);
  EXPECT_THAT(arguments.Refusal(), HasSubstr("row_chunk is Long, want Int"));
}

TEST(AttendRefusalTest, RefusesTablesThatDoNotFitTheHeads) {
  Arguments arguments;
  arguments.tables.mask = at::zeros({100});
  EXPECT_THAT(arguments.Refusal(), HasSubstr("mask is [100], want ["));

  arguments = Arguments();
  arguments.tables.position_keys = at::zeros({3, 2, 64, 32});
  EXPECT_THAT(arguments.Refusal(),
              HasSubstr("position_keys is [3, 2, 64, 32]"));

  arguments = Arguments();
  arguments.tables.content_bias = at::zeros({1, 65});
  EXPECT_THAT(arguments.Refusal(), HasSubstr("content_bias is [1, 65]"));

  arguments = Arguments();
  arguments.tables.heads = at::zeros({1, 1});
  EXPECT_THAT(arguments.Refusal(), HasSubstr("heads is [1, 1]"));
}

TEST(AttendRefusalTest, RefusesASlabThatIsNotDense) {
  Arguments arguments;
  arguments.memory.slab = at::zeros({2, 1024}).t();

  EXPECT_THAT(arguments.Refusal(), HasSubstr("slab is not dense"));
}

TEST(AttendRefusalTest, NamesWhatIsMissing) {
  Arguments arguments;
  arguments.projections.value = at::Tensor();
  EXPECT_THAT(arguments.Refusal(), HasSubstr("value is missing"));

  arguments = Arguments();
  arguments.memory.slab = at::Tensor();
  EXPECT_THAT(arguments.Refusal(), HasSubstr("slab is missing"));
}

TEST(AttendRefusalTest, PassesOnWhatAKernelSays) {
  Arguments arguments;
  arguments.tables.min_distance = 2;
  arguments.tables.empty_start = true;

  EXPECT_THAT(arguments.Refusal(), HasSubstr("span attention"));
}

}  // namespace
}  // namespace spanlm
