// What starting the platform alone costs.
export {};
