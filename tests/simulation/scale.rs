//! Many machines in one environment, on the durable store.
