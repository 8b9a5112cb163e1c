// SPDX-License-Identifier: Apache-2.0
// Everything that can be set about a server, checked once.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/engine.h"

namespace spanlm {

// A model to serve: its name, [a-z][a-z0-9-]{0,62}, and its folder.
struct ModelSpec {
  std::string name;
  std::string dir;
};

// Bounds on what clients may send and hold.
struct RpcLimits {
  int32_t max_message_bytes = 4 << 20;
  int32_t max_streams_per_connection = 100;
  int32_t max_metadata_bytes = 8 << 10;
  int32_t max_items = 1024;                 // of one Score
  int64_t max_generated_bytes = 1 << 20;    // of one Generate
  int64_t max_chunk_bytes = 1 << 20;        // of a ScoreStream message
  int64_t stream_buffer_bytes = 256 << 10;  // above it a stream's job is parked
  int64_t max_rpc_bytes = 256 << 20;        // that gRPC may buffer in all
  absl::Duration connection_age = absl::Minutes(30);
  absl::Duration connection_idle = absl::Minutes(10);
  absl::Duration min_ping_interval = absl::Seconds(10);
};

// The flags' values, named after them (cli.md); addresses are HOST:PORT.
// Check() before use.
struct ServerOptions {
  std::vector<ModelSpec> models;
  std::string default_model;  // empty: the first of `models`
  std::string dataset_root;   // empty: no data sets

  std::string listen = "127.0.0.1:50051";
  std::string admin_listen = "127.0.0.1:50052";
  std::string health_listen = "127.0.0.1:50053";
  std::string metrics_listen = "127.0.0.1:9464";
  bool insecure = false;  // plaintext data and admin on any address

  EngineOptions engine;
  int32_t max_step_bytes = 512;
  int32_t max_queue_requests = 1024;
  int64_t max_queue_bytes = int64_t{256} << 20;
  RpcLimits limits;
  bool span_metrics = false;  // a gauge for each head

  absl::Duration drain_delay = absl::Seconds(5);
  absl::Duration drain_timeout = absl::Seconds(25);
  absl::Duration step_deadline = absl::Seconds(60);
  // A stream whose client neither sends nor reads for this long is ended.
  absl::Duration stall_limit = absl::Minutes(10);
};

// kInvalidArgument names the flag, its value and the bound. Opens nothing.
absl::Status Check(const ServerOptions& options);

// Mebibytes as bytes; the nearest int64 where they are too many.
int64_t MebibytesToBytes(int64_t mebibytes);

// "NAME=DIR", or a bare DIR that takes its folder's name. A relative DIR is
// below `model_root`, if that is not empty. kInvalidArgument: no name, or one
// that does not match [a-z][a-z0-9-]{0,62}.
absl::StatusOr<ModelSpec> ParseModelSpec(absl::string_view text,
                                         const std::string& model_root);

// Whether `name` matches [a-z][a-z0-9-]{0,62}.
bool IsModelName(absl::string_view name);

struct HostPort {
  std::string host;  // without brackets
  int32_t port = 0;
};
// "HOST:PORT" or "[IPV6]:PORT"; kInvalidArgument otherwise.
absl::StatusOr<HostPort> ParseAddress(absl::string_view address);

// Whether `host` can be reached from this machine only: localhost, 127.0.0.0/8
// or ::1.
bool IsLoopback(absl::string_view host);

}  // namespace spanlm
