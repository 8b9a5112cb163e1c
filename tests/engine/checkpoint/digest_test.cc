// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/digest.h"

#include <cstring>

#include "gtest/gtest.h"

namespace spanlm {
namespace {

// The two examples of FIPS 180-4's companion document.
TEST(DigestTest, IsSha256InLowerCaseHex) {
  EXPECT_EQ(Sha256Hex("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex(""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

// FIPS 180-4's example, too.
TEST(DigestTest, IsSha1InLowerCaseHex) {
  std::byte text[3];
  std::memcpy(text, "abc", sizeof(text));
  EXPECT_EQ(Sha1Hex(text), "a9993e364706816aba3e25717850c26c9cd0d89d");
}

}  // namespace
}  // namespace spanlm
