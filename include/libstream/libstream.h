/**
 * @file libstream.h
 * All of libstream's public headers. `unstable/` is not among them: include those by name.
 */
#ifndef LIBSTREAM_LIBSTREAM_H
#define LIBSTREAM_LIBSTREAM_H

#include <libstream/types.h>

#include <libstream/status.h>
#include <libstream/version.h>

#include <libstream/store.h>

#include <libstream/stream.h>

#include <libstream/producer.h>

#include <libstream/aggregate.h>

#include <libstream/async_producer.h>

#include <libstream/iterator.h>

#include <libstream/consumer.h>

#include <libstream/lease.h>

#include <libstream/filter.h>

#include <libstream/mapping.h>

#include <libstream/delivery.h>

#include <libstream/metrics.h>

#include <libstream/alert.h>

#include <libstream/txn.h>

#include <libstream/window.h>

#endif
