// SPDX-License-Identifier: Apache-2.0
// The low-level functions are deprecated, not gone: only they show the state.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "server/rpc/sha256.h"

#include <openssl/sha.h>

#include "absl/strings/escaping.h"

namespace spanlm {
namespace {

constexpr size_t kChainSize = 32;
constexpr size_t kCountSize = 8;
constexpr size_t kHeadSize = kChainSize + kCountSize;

void PutBigEndian(uint64_t value, int size, std::string* out) {
  for (int shift = 8 * (size - 1); shift >= 0; shift -= 8) {
    out->push_back(static_cast<char>((value >> shift) & 0xFF));
  }
}

uint64_t GetBigEndian(absl::string_view bytes) {
  uint64_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<uint8_t>(byte);
  return value;
}

}  // namespace

Sha256::Sha256() : state_(std::make_unique<SHA256state_st>()) {
  SHA256_Init(state_.get());
}

Sha256::~Sha256() = default;

Sha256::Sha256(const Sha256& other)
    : state_(std::make_unique<SHA256state_st>(*other.state_)) {}

Sha256& Sha256::operator=(const Sha256& other) {
  if (this != &other) *state_ = *other.state_;
  return *this;
}

void Sha256::Update(absl::string_view bytes) {
  SHA256_Update(state_.get(), bytes.data(), bytes.size());
}

std::string Sha256::Hex() const {
  SHA256state_st copy = *state_;
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256_Final(reinterpret_cast<unsigned char*>(digest.data()), &copy);
  return absl::BytesToHexString(digest);
}

std::string Sha256::Save() const {
  std::string out;
  for (const SHA_LONG word : state_->h) PutBigEndian(word, 4, &out);
  const uint64_t bits = static_cast<uint64_t>(state_->Nh) << 32 | state_->Nl;
  PutBigEndian(bits / 8, kCountSize, &out);
  out.append(reinterpret_cast<const char*>(state_->data), state_->num);
  return out;
}

absl::StatusOr<Sha256> Sha256::Load(absl::string_view saved) {
  if (saved.size() < kHeadSize) {
    return absl::InvalidArgumentError("digest state: too short");
  }
  const uint64_t count = GetBigEndian(saved.substr(kChainSize, kCountSize));
  const absl::string_view rest = saved.substr(kHeadSize);
  if (count >> 60 != 0 || rest.size() != count % SHA256_CBLOCK) {
    return absl::InvalidArgumentError("digest state: sizes do not agree");
  }
  Sha256 sha;
  for (int i = 0; i < 8; ++i) {
    sha.state_->h[i] =
        static_cast<SHA_LONG>(GetBigEndian(saved.substr(4 * i, 4)));
  }
  sha.state_->Nl = static_cast<SHA_LONG>(count * 8);
  sha.state_->Nh = static_cast<SHA_LONG>((count * 8) >> 32);
  sha.state_->num = static_cast<unsigned>(rest.size());
  rest.copy(reinterpret_cast<char*>(sha.state_->data), rest.size());
  return sha;
}

}  // namespace spanlm
