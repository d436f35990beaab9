//! What every service does alike at its edges: settings, logging, metrics, admin port, clients, shutdown.
